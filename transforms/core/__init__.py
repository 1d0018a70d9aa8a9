"""Events, conversions, rejections, counters, tokens: all that is neither Segment's language nor Meta's rules."""
