"""Personal data in the clear: how it is recognised, and how it is removed from an event.

Meta wants whom an event is about in user_data, hashed. Elsewhere in an event personal data is known by the key that it
stands behind (`is_personal`), by its form (`emails`), or by being what this very event has given to be hashed
(`Person`). A `Cleaner` removes such keys and URL parameters, and cuts such texts.

A person's own data is looked for by narrow rules, as names are words and most numbers are not phone numbers:

- A phone number counts where its digits stand without other digits next to them, separated in any way, with or without
  the country code.
- A name counts where first and last name stand side by side, in either order.
- An address counts where postal code and city stand side by side, or with a state between them.
- First name, last name, postal code or date of birth alone count only where they are all of a value, and not in the
  fields that Meta has for words (`_WORDS`). City, state, country and gender alone never count: by Meta's own rule they
  are too broad to tell who somebody is (`meta_rules.BROAD_MATCH_KEYS`).

Time is in proportion to the length of what is looked through.
"""
