"""The answers to questions: for each noun, the types of its views and the functions that make them.

A view consists of plain JSON values; its times are epoch seconds. A question names the type of its answer
(core/questions.py), so the answer is typed in every interface.
"""
