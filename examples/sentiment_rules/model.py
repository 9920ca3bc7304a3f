"""A plain Python class as a model: it needs a package of its own and nothing of Inferry.

{"text": array of sentences} -> {"label": "positive" | "neutral" | "negative", "score": -1 to 1}
"""

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer


class Sentiment:
    """Rates how friendly a sentence is, by word lists and rules."""

    def load(self):
        """Called once in each replica, before the first prediction."""
        self.analyzer = SentimentIntensityAnalyzer()

    def predict(self, inputs):
        """One label and one score for each sentence."""
        scores = [self.analyzer.polarity_scores(text)["compound"] for text in inputs["text"]]
        return {"label": [self.label(score) for score in scores], "score": scores}

    def label(self, score):
        """The thresholds that the package's authors recommend."""
        return "positive" if score >= 0.05 else "negative" if score <= -0.05 else "neutral"
