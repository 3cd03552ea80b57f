"""Teaching: why is it closed and not filtered? Explanations, lessons, quizzes and pages.

All of it is drawn from the rule that the verdict rests on and from the packets that it was reached
by; nothing here decides what a reply means. This floor joins the lab and the analysis.
"""
