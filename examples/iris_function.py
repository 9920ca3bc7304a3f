"""A single function as a model: the nearest of three flowers, by the mean of each kind.

Four columns of centimetres -> {"species": name of the nearest kind}
"""

import numpy as np

KINDS = np.array(["setosa", "versicolor", "virginica"])
MEANS = np.array([[5.006, 3.428, 1.462, 0.246], [5.936, 2.770, 4.260, 1.326], [6.588, 2.974, 5.552, 2.026]])


def predict(inputs):
    """One species for each row."""
    columns = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    rows = np.column_stack([np.asarray(inputs[name], dtype=float) for name in columns])
    distances = ((rows[:, None, :] - MEANS[None, :, :]) ** 2).sum(axis=2)
    return {"species": KINDS[distances.argmin(axis=1)]}
