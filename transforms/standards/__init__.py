"""What standards say: countries, currencies, JavaScript's reading of JSON values, JSON text, Unicode spelling."""
