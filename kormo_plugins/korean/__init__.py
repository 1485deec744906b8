"""Korean text: sounds, counts, speech levels, errors and foreign words."""
