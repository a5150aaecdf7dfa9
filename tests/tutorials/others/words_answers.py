"""What only the publisher of a piece of words knows, written into `page.md`."""

import re
from pathlib import Path

answers = {
    "in one sentence": "Features of short lines about kitchens, harbours, gardens, courts and stages.",
    "what is it good for": "Telling topics of short lines apart, from a few lines of each.",
    "where does it fail": "On words that are not among its fifty, and on other languages than English.",
    "what was it trained on": "Five hundred made-up lines of five topics.",
    "what is it for": "text-embedding",
    "which license": "mit",
}
page = Path("page.md")
text = page.read_text()
for start, answer in answers.items():
    text = re.sub(rf"TODO: {start}.*?(?= -->|$)", answer, text, flags=re.MULTILINE)
page.write_text(text)
