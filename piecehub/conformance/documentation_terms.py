"""What TensorFlow Hub's documentation may name: keys, and ids of tasks, datasets, languages, architectures, licenses.

From tensorflow/tfhub.dev, `tags/*.yaml`, as it stood when the site became a part of Kaggle Models; it changes no more.
Imports no TensorFlow: `piecehub page --values` answers from it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from piecehub.facts.nearest import nearest


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TASKS = _words(
    """
    audio-command-detection audio-embedding audio-event-classification audio-paralinguistics audio-pitch-extraction
    audio-speech-synthesis audio-synthesis audio-stt image-aesthetic-quality image-augmentation image-classification
    image-classification-logits image-classifier image-depth-estimation image-extrapolation image-feature-vector
    image-frame-interpolation image-generator image-object-detection image-others image-pose-detection
    image-rnn-agent image-segmentation image-style-transfer image-super-resolution image-text-detection
    image-text-recognition text-sequence-alignment text-classification text-embedding text-generation
    text-language-model text-preprocessing text-question-answering text-retrieval-question-answering
    text-segmentation text-to-mel video-audio-text video-classification video-generation video-text image-denoising
    image-dehazing image-deraining image-deblurring image-enhancement video-feature-extraction
    """
)
LICENSES = _words(
    """
    apache-2.0 bsd-2-clause bsd-3-clause gpl-2.0 gpl-3.0 lgpl-2.0 lgpl-2.1 lgpl-3.0 mit mpl-2.0 cddl-1.0 epl-2.0
    cc-by-nc-4.0 cc-by-sa-4.0 custom
    """
)
LANGUAGES = _words(
    """
    ar as bg bn ca cs da de el en es et fa fi fr gu he hi hr hu id it ja ko kn ks lt lv ml mr ms multilingual ne nl
    no or pa pl pt ro ru sa sd sk sl sr sv ta te th tl tr uk ur vi zh-cn zh-tw
    """
)
VISUALIZERS = _words(
    """
    spice vision tflite_image_classifier tflite_object_detector tflite_image_segmenter
    """
)
DATASETS = _words(
    """
    3dmovies 1-billion-word-benchmark ade20k apolloscape audioset ava bair bair-robot-pushing-dataset bbc-xsum bdd
    birds-or-bicycles blendedmvs bookscorpus camvid cifar-10 cifar-100 cnn-dailymail-summarization coco-2017 cord-19
    celeba celeba-hq charades chinese-treebank-6-0 cityscapes clue-web commoncrawl dagm2007 dakshina diml-indoor
    discofuse div2k google-news gigaword-summarization giga5 hrwsi idd imagenet imagenet-ilsvrc-2012-cls
    imagenet-21k imet-collection-2019 inaturalist inaturalist-inat-2017
    inaturalist-and-plants-subset-of-imagenet-21k internal-agripredict-dataset irs isaid isprs kth kinetics-400
    kinetics-600 kitti koniq-10k librilight librispeech ljspeech lsun-bedroom lol mapillary megadepth mnli
    multilingual-wikipedia multiple natural-questions nyu-depth-v2 noaa-pifsc-harp openimagesv4 paq-2-piq
    pascal-context pascal-voc-2012 plant-village pmindia medline-pubmed redweb qnli qqp silero-de silero-en
    silero-es spaq squad squad-2-0 sst-2 stories svhn thorsten tartanair translation twitter wiki40b wikipedia
    wikipedia-and-bookscorpus wikisplit-dataset wmt14 wmt16 wsvd xeno-canto youtube-8m scannet stl10 suim sunrgbd
    vgallery vimeo-90k vkitti2 cppe-5 other
    """
)
ARCHITECTURES = _words(
    """
    amoebanet-a-n18-f448 bert bigan bigbigan biggan biggan-deep centernet cnn conformer dan
    deeplab-mobilenetv2-ade20k-train deeplab-mobilenetv2-coco-voc-trainval
    deeplab-mobilenetv2-dm05-coco-voc-trainval deeplab-mobilenetv3-large-cityscapes-trainfine
    deeplab-xception65-ade20k-train deeplab-xception65-cityscapes-trainfine deeplab-xception65-coco-voc-trainaug
    delf efficientdet efficientnet efficientnet-b0 efficientnet-b1 efficientnet-b2 efficientnet-b3 efficientnet-b4
    efficientnet-b5 efficientnet-b6 efficientnet-b7 efficientnet-v2 elmo fastdepth faster-r-cnn gan hrnet-v2-w48 i3d
    inception-resnet-v2 inception-v1 inception-v2 inception-v3 inception-v4 keywordspottingnet mask-r-cnn midas
    mobilebert-uncased-l-24-h-128-b-512-a-4-f-4-opt mobilebert mobilebert-edgetpu-s mobilenet mobilenet-v1
    mobilenet-v2 mobilenet-v3 mobilevit movinet multiband-melgan multiple nasnet-a-large nasnet-a-mobile nnlm other
    pnasnet-5-large progressive-gan regnety reqa resnet resnet-152 resnet-cifar resnet-v1-101 resnet-v1-152
    resnet-v1-200 resnet-v1-50 resnet-v2-101 resnet-v2-152 resnet-v2-50 resnet101-v2 resnet101x3-v2 resnet152x4-v2
    resnet19 resnet50-v2 resnet50x3-v2 retinanet rnn s3d s3d-g silero-stt ssd ssd-mobilenet-v1 ssd-mobilenet-v2
    ssd-mobilenet-v2-fpn ssd-spaghettinet-edgetpu-large swivel tacotron2 transformer transformer-xl tsm-resnet50
    tsm-resnet50x2 tvn-1 tvn-2 tvn-3 tvn-mobile-1 ulmfit unet vae vgg-style videoflow wae wav2vec2 wide-resnet-40-8
    word2vec-skip-gram wrn-106 yolo-v5 bit swin-transformer video-swin-transformer vit mixer nnclr convmixer tnt
    tridentnet fcos fsaf regnetx yolo convnext deit cait xcit maxim mosaic
    """
)

# What a common API asks of a model whose page names the task (common_apis.py holds it); the others ask nothing more.
DEMANDS: Mapping[str, str] = {
    "image-feature-vector": "float32 [batch, height, width, 3], of which the page says '[0, 1]', gives float32 "
    "[batch, features], as many for every size",
    "image-classification": "as image-feature-vector, with logits as output, and the page says what the classes are",
    "image-classification-logits": "the same as image-classification",
    "text-embedding": "string [batch] gives float32 [batch, dim]; or a dict of numbers gives a dict with 'default', "
    "float32 [batch, dim], and the page names the preprocessor",
    "text-preprocessing": "string [batch] gives a dict of numbers, the same in training; nothing is trainable; for "
    "Transformers it has 'tokenize' and 'bert_pack_inputs'",
}
_OTHERS = "no common API: any inputs and outputs"


@dataclass(frozen=True)
class Key:
    """A key of a page's metadata.

    Attributes:
        means: what it tells, for a person.
        example: a value of it.
        values: the ones that there are; empty if a form is asked for.
        form: tells whether a value has that form.
        once: whether it stands in a page once at most.
    """

    means: str
    example: str
    values: frozenset[str] = frozenset()
    form: Callable[[str], bool] = bool
    once: bool = False

    def takes(self, value: str) -> bool:
        """Whether that is a value of it."""
        return value in self.values if self.values else self.form(value)

    def remedy(self, key: str, value: str) -> str:
        """What to do about a value that it does not take."""
        if not self.values:
            return f"it is {self.means}, such as '{self.example}'"
        if len(self.values) <= _FEW:
            return f"it is one of {', '.join(sorted(self.values))}"
        meant = nearest(value, self.values)
        listed = f"`piecehub page --values {key}` lists all"
        return f"did you mean '{meant}'? {listed}" if meant else listed


def _is_archive(value: str) -> bool:
    return value.endswith(".tar.gz") and not re.match("https?://github.com/", value)


_FEW = 16  # that are told in one sentence
METADATA: Mapping[str, Key] = {
    "asset-path": Key(
        "where the archive lies: a path below the store, or an address, that ends in .tar.gz",
        "publisher/name/1/model.tar.gz",
        form=_is_archive,
        once=True,
    ),
    "fine-tunable": Key("whether it is recommended for fine-tuning", "false", _words("true false"), once=True),
    "format": Key("of the model", "saved_model_2", _words("hub saved_model saved_model_2"), once=True),
    "task": Key("what it is for; of a model of images, texts or sounds", "image-feature-vector", TASKS),
    "license": Key("what may be done with it", "apache-2.0", LICENSES, once=True),
    "dataset": Key("what it was trained on", "imagenet", DATASETS),
    "language": Key("of its texts", "en", LANGUAGES),
    "network-architecture": Key("what it is built like", "mobilenet-v2", ARCHITECTURES),
    "interactive-visualizer": Key("how tfhub.dev showed it", "vision", VISUALIZERS, once=True),
    "colab": Key(
        "the address of a notebook",
        "https://colab.research.google.com/…",
        form=lambda value: value.startswith("https://colab.research.google.com/"),
    ),
}
REQUIRED = ("asset-path", "fine-tunable", "format")


def demand(task: str) -> str:
    """What a page's task asks of the model, in words."""
    return DEMANDS.get(task, _OTHERS)
