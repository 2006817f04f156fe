"""A dataset prepared for cross-validation: vectors, optical flow, names; a user's, or a generated one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from fedet.datasets.dataset import Dataset, read_dataset
from fedet.detection import Inputs
from fedet.errors import InputError
from fedet.experiments.cross_validation import CrossValidation, cross_validate
from fedet.experiments.folds import make_folds
from fedet.experiments.methods.base import Method
from fedet.experiments.methods.optical_flow import flow_records_of
from fedet.experiments.methods.paper import NAME as PAPER
from fedet.experiments.methods.paper import paper_inputs
from fedet.experiments.methods.registry import method_named
from fedet.faces.network import load_facenet
from fedet.model import FEDNConfig
from fedet.synthetic.benchmark import DIFFICULTIES, benchmark_config, benchmark_name, name_of
from fedet.training.checkpoints import fingerprint
from fedet.training.config import TrainConfig
from fedet.training.records import default_config, default_inputs, records_of
from fedet.windows import VideoFeatures

# The set that is generated where none is given: small, with events in every video.
SMALL: dict = {"subjects": 6, "seconds": 45.0, "seed": 11, "events_per_minute": 10.0, "silent_share": 0.0}


@dataclass(frozen=True)
class Study:
    """A dataset with its vectors."""

    dataset: Dataset
    name: str
    synthetic: bool
    records: list[VideoFeatures]
    config: FEDNConfig  # the shipped detector's, for these vectors
    cache: Path
    inputs: Inputs  # what the records were read with
    _flow: list[VideoFeatures] = field(default_factory=list)
    _read: dict[Inputs, list[VideoFeatures]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name for titles, which marks generated faces."""
        return f"{self.name} (generated faces)" if self.synthetic else self.name

    @property
    def data(self) -> dict:
        """What a results table says about the data."""
        return {"name": self.name, "synthetic": self.synthetic, "summary": self.dataset.summary()}

    def flow_records(self, progress: bool = True, jobs: int = 1) -> list[VideoFeatures]:
        """The movements of regions instead of vectors; computed at the first call."""
        if not self._flow:
            self._flow.extend(flow_records_of(self.dataset, self.cache, progress, jobs))
        return self._flow

    def records_with(self, inputs: Inputs, progress: bool = True) -> list[VideoFeatures]:
        """The same videos as other inputs read them, from the kept vectors; read at the first call."""
        if inputs == self.inputs:
            return self.records
        if inputs not in self._read:
            net = load_facenet(inputs.weights)
            self._read[inputs] = records_of(self.dataset, net, inputs, self.cache, progress)
        return self._read[inputs]

    def run_folder(self, folder: str | Path, *settings: object) -> Path:
        """A folder below `folder` for these records and settings; runs on other vectors stay apart."""
        facts = [fingerprint(self.records), repr(self.config), *map(repr, settings)]
        return Path(folder) / "runs" / blake2b("\n".join(facts).encode(), digest_size=5).hexdigest()

    def cross_validate(self, method: Method, out: str | Path | None = None, **options) -> CrossValidation:
        """As `fedet.experiments.cross_validation.cross_validate`, on what the method reads."""
        options = {"progress": True, "jobs": 1} | options
        records = self.records
        if method.name == "flow":
            records = self.flow_records(options["progress"], options["jobs"])
        elif method.name == PAPER:
            records = self.records_with(paper_inputs(self.inputs), options["progress"])
        return cross_validate(records, method, out, **options)

    def compare(
        self,
        methods: Sequence[str | Method],
        out: str | Path | None = None,
        training: TrainConfig | None = None,
        **options,
    ) -> dict[str, CrossValidation]:
        """Cross-validates several methods on the same folds, seeds and budget; by name."""
        chosen = [method_named(m, training, self.config) if isinstance(m, str) else m for m in methods]
        return {method.name: self.cross_validate(method, out, **options) for method in chosen}


def open_study(
    data: str | Path = "",
    layout: str = "",
    missing_offset: str = "apex_mirror",
    face_weights: str = "",
    folder: str | Path = "../data/study",
    generated: Mapping[str, float] | None = None,
    benchmark: str = "",
    cache: str | Path | None = None,
    progress: bool = True,
    adapt: float = 0.0,
    folds: str | int | None = None,
) -> Study:
    """The set at `data`, or a small generated one below `folder`, with the vectors of all videos.

    Args:
        data, layout, missing_offset: as for `read_dataset`; empty data generates one.
        face_weights: of the ResNet18; empty: those that the shipped detector reads.
        generated: fields of `fedet.synthetic.generator.SynthConfig` that differ from a small set of 6
            subjects with 45 s each.
        benchmark: "easy", "default" or "hard": the whole benchmark is generated instead.
        cache: folder of the vectors; None: `folder`/vectors.
        adapt: share of each video's statistics in the ResNet18, see `fedet.faces.adaptation`.
        folds: raises InputError before any video is read where a cross-validation cannot have these folds.

    Raises InputError for the benchmark "unseen", which is for testing only.
    """
    if not str(data):
        data = _generate(Path(folder), dict(generated or {}), benchmark, progress)
    dataset = read_dataset(data, layout or None, missing_offset)
    if folds is not None:
        make_folds(dataset_events(dataset), folds)
    inputs, net = default_inputs(face_weights, adapt)
    vectors = Path(cache) if cache else Path(folder) / "vectors"
    records = records_of(dataset, net, inputs, vectors, progress)
    config = default_config(records)
    name, synthetic = name_of(dataset.root)
    return Study(dataset, name, synthetic, records, config, vectors, inputs)


def dataset_events(dataset: Dataset) -> dict[str, int]:
    """Number of annotated events of each subject, known before any video is read."""
    counts = dataset.annotations["subject"].value_counts()
    return {subject: int(counts.get(subject, 0)) for subject in dataset.videos["subject"].unique()}


def _generate(folder: Path, changes: dict, benchmark: str, progress: bool) -> Path:
    from fedet.synthetic.generator import GENERATOR_VERSION, SynthConfig, synthesize

    if benchmark and benchmark not in DIFFICULTIES:
        raise InputError(
            f"benchmark {benchmark!r}: not one to learn from; choose {', '.join(DIFFICULTIES)} (unseen is "
            "for detection and evaluation only)"
        )
    if benchmark:
        return synthesize(folder / benchmark_name(benchmark), benchmark_config(benchmark), progress=progress)
    config = SynthConfig(**(SMALL | changes))
    facts = f"{GENERATOR_VERSION} {config!r}".encode()
    name = f"generated_{config.subjects}x{config.videos}x{config.seconds:g}s_"
    return synthesize(folder / (name + blake2b(facts, digest_size=4).hexdigest()), config, progress=progress)
