"""Korean as text: sounds, counts, speech levels, and what is wrong or foreign in a sentence."""
