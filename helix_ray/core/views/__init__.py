"""What questions are answered with: for each noun, the types of its views and how they are made.

A view is plain JSON values; its times are epoch seconds. A question says the type of its answer
(core/questions.py), so whoever asks through any door gets it typed.
"""
