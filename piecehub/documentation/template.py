"""The text of a model page, for `documentation.page` to fill in: Jinja in Markdown."""

HEAD = """\
# Module {{ publisher }}/{{ name }}/{{ version }}

{{ person.description }}

<!-- asset-path: {{ publisher }}/{{ name }}/{{ version }}/model.tar.gz -->
{% for task in hub_tasks -%}
<!-- task: {{ task }} -->
{% endfor -%}
<!-- fine-tunable: {{ "true" if fine_tunable else "false" }} -->
<!-- format: saved_model_2 -->
<!-- license: {{ person.license_id }} -->

## Overview

{{ person.intended_use }}
"""

_LIMITATIONS = """
## Limitations

{{ person.limitations }}
"""
# What is known before anything is measured, or even trained.
DRAFT = (
    HEAD
    + """
Input: {{ spec(inputs) }}. Output: {{ spec(outputs) }}.
{% for key in hyperparameters %}
Consumers may set `{{ key }}`.
{% endfor %}
## Training

{{ person.training_data }}
"""
    + _LIMITATIONS
)

# What the SavedModel tells, and what was measured of it.
_MEASURED = """
The piece has {{ "{:,}".format(piece.parameters) }} parameters. Input: {{ spec(piece.input) }}. \
Output: {{ spec(piece.output) }}. Its content digest is `{{ digest }}`.
{% if parent %}
It was fine-tuned from {% if parent.handle %}`{{ parent.handle }}`{% else %}a folder{% endif %}\
{% if parent.digest %} (content digest `{{ parent.digest }}`){% endif %}.
{% endif %}{% if shared.preprocessor %}
The SavedModel `{{ shared.preprocessor }}` makes its inputs. It is the preprocessor of this one.
{% endif %}{% if decode %}
How an example becomes the piece's input: `{{ decode.function }}` of the recipe's `{{ decode.module }}` \
(`{{ decode.digest }}`) makes it, the same wherever such examples are read.\
{{ " " if decode.does }}{{ decode.does }}
{% endif %}
## Usage

```python
import tensorflow_hub as hub

piece = hub.load("<store>/{{ publisher }}/{{ name }}/{{ version }}")
features = piece(inputs, training=False)
layer = hub.KerasLayer("<store>/{{ publisher }}/{{ name }}/{{ version }}"{{ recommendation.argument }})\
  # in a tf_keras model
{%- if shared.hyperparameters %}
features = piece(inputs, training=True{% for key, value in shared.hyperparameters.items() %}, {{ key }}={{ value }}\
{% endfor %})
{%- endif %}{% if shared.return_losses %}
losses = piece(inputs, training=True, return_losses=True)["losses"]
{%- endif %}{% for key in shared.sub_pieces %}
part = piece.{{ key }}(inputs_of_that_part, training=False)
{%- endfor %}
```
{% if shared.hyperparameters %}
Consumers may set {% for key, value in shared.hyperparameters.items() %}`{{ key }}` (a float32 scalar, by default \
{{ value }}){{ ", " if not loop.last }}{% endfor %}; of a `hub.KerasLayer` they are its `arguments`.
{% endif %}{% if shared.return_losses %}
With `return_losses=True` the outputs are a dict with one key more, `losses`: the scalar sum of what the piece adds \
to the loss beside its weights' regularization.
{% endif %}{% if shared.sub_pieces %}
Parts of it can be called by themselves: {% for key, layer in shared.sub_pieces.items() %}`{{ key }}` (its layer \
`{{ layer }}`){{ ", " if not loop.last }}{% endfor %}.
{% endif %}
## Fine-tuning

{% if blessed -%}
{{ recommendation.sentence }} The evidence below was judged before publishing.
{%- else -%}
{{ recommendation.sentence[:-1] }}: {{ reasons }}
{%- endif %} Variables that it trains: {{ shared.trainable_variables | length }}; weight regularizers \
that come with it: {{ shared.regularizers | length }}.
{% if shared.trainable_variables | length < piece.trainable_variables | length %}
That is the subset that is recommended for training, of {{ piece.trainable_variables | length }}:
{% for path in shared.trainable_variables %}
- `{{ path }}`
{%- endfor %}
{% endif %}{% if shared.random %}
Inference draws random numbers: equal inputs give other outputs at each call.
{% endif %}{% if lost %}
No SavedModel carries these parts of the model; where you want them, set them in yours: \
{% for item in lost %}{{ item.what }} of `{{ item.of }}` ({{ item.is }}){{ ", " if not loop.last }}{% endfor %}.
{% endif %}{% if optimizer_regularization %}
The full model was also regularized inside its optimizer ({{ optimizer_regularization }}). No SavedModel carries \
that: set it in yours if you want it.
{% endif %}
{% for item in evidence %}
### {{ item.task }}

{{ item.role }}{{ item.metric }} on {{ item.examples }} test examples, {{ item.seeds }} seeds, with 95 % intervals \
over seeds and examples.

| mode |{% for shots in item.shots %} {{ shots }} {{ item.unit }} |{% endfor %}
|---|{% for shots in item.shots %}---|{% endfor %}
{% for mode, cells in item.modes.items() -%}
| {{ mode_words(mode, item.parent) }} |{% for cell in cells %} {{ interval(cell) }} |{% endfor %}
{% endfor %}
{% for gain in item.gains -%}
{{ gain }}
{% endfor %}{% if item.slices %}
| {{ item.metric }} where | test examples | {{ item.slice_heads[0] }} | over {{ item.slice_heads[1] }}, points |
|---|---|---|---|
{% for part in item.slices -%}
| {{ part.feature }} is `{{ part.value }}` | {{ part.examples }} | {{ percent(part.mean) }} | \
{{ points(part.gain) }} [{{ points(part.low) }}, {{ points(part.high) }}] |
{% endfor %}{% endif %}
{% for line in item.advice -%}
- {{ line }}
{% endfor -%}
{% endfor %}
{%- for warning in warnings %}
Warning: {{ warning }}
{% endfor %}
"""
TEMPLATE = (
    HEAD
    + _MEASURED
    + """\
## Training

{{ person.training_data }} {% if full.train_examples %}The full model was trained on \
{{ "{:,}".format(full.train_examples) }} examples and reaches {{ percent(full.evaluation.accuracy) }} accuracy on \
{{ "{:,}".format(full.eval_examples) }} held-out ones.{% else %}The full model was not trained here: it came with its \
weights.{% endif %} {{ conformance }}
"""
    + _LIMITATIONS
)
# Of a model that no run of ours made: nothing is known of its training.
OFFERED = (
    HEAD
    + _MEASURED
    + """\
## Training

{{ person.training_data }}
"""
    + _LIMITATIONS
)
