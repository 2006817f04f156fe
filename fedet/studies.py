"""A set of videos made ready for cross-validation: vectors, flow, names; a user's, or a generated one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fedet.benchmark import name_of
from fedet.datasets import Dataset, read_dataset
from fedet.detection import Inputs, read_inputs, records_of
from fedet.features import load_facenet, shipped
from fedet.flow import flow_records_of
from fedet.loop import TrainConfig
from fedet.methods import Method, method_named
from fedet.model import FEDNConfig, read_config
from fedet.protocol import CrossValidation, cross_validate
from fedet.windows import VideoFeatures


@dataclass(frozen=True)
class Study:
    """An opened set with its vectors."""

    dataset: Dataset
    name: str
    synthetic: bool
    records: list[VideoFeatures]
    config: FEDNConfig  # of the detector: that of the shipped one, for these vectors
    cache: Path
    _flow: list[VideoFeatures] = field(default_factory=list)

    @property
    def label(self) -> str:
        """For titles: generated faces are always called so."""
        return f"{self.name} (generated faces)" if self.synthetic else self.name

    @property
    def data(self) -> dict:
        """For a results table."""
        return {"name": self.name, "synthetic": self.synthetic, "summary": self.dataset.summary()}

    def flow_records(self, progress: bool = True) -> list[VideoFeatures]:
        """The movements of regions instead of vectors; computed when first asked for."""
        if not self._flow:
            self._flow.extend(flow_records_of(self.dataset, self.cache, progress))
        return self._flow

    def cross_validate(self, method: Method, out: str | Path | None = None, **options) -> CrossValidation:
        """As `fedet.protocol.cross_validate`, on what the method reads."""
        records = self.flow_records(options.get("progress", True)) if method.name == "flow" else self.records
        return cross_validate(records, method, out, **options)

    def compare(
        self,
        methods: Sequence[str | Method],
        out: str | Path | None = None,
        training: TrainConfig | None = None,
        **options,
    ) -> dict[str, CrossValidation]:
        """Cross-validates several methods on the same folds, seeds and budget; by name."""
        found = [method_named(m, training, self.config) if isinstance(m, str) else m for m in methods]
        return {method.name: self.cross_validate(method, out, **options) for method in found}


def open_study(
    data: str | Path = "",
    layout: str = "",
    missing_offset: str = "apex_mirror",
    face_weights: str = "",
    folder: str | Path = "../data/study",
    generated: Mapping[str, float] | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Study:
    """The set at `data`, or a small generated one below `folder`, with the vectors of all videos.

    Args:
        data, layout, missing_offset: as for `read_dataset`; empty data generates one.
        face_weights: of the ResNet18; empty: those that the shipped detector reads.
        generated: fields of `fedet.synthetic.SynthConfig` that differ from a small set of 6
            subjects with 45 s each.
        cache: folder of the vectors; None: `folder`/vectors.
    """
    if not str(data):
        data = _generate(Path(folder), dict(generated or {}), progress)
    dataset = read_dataset(data, layout or None, missing_offset)
    inputs = read_inputs(shipped("detector"))
    inputs = replace(inputs, weights=face_weights) if face_weights else inputs
    net = load_facenet(inputs.weights)
    if net.heads is None:
        inputs = Inputs(weights=inputs.weights, reference="median")
    place = Path(cache) if cache else Path(folder) / "vectors"
    records = records_of(dataset, net, inputs, place, progress)
    config = replace(
        read_config(shipped("detector")),
        input_features=records[0].vectors.shape[1],
        default_threshold=FEDNConfig.default_threshold,
    )
    name, synthetic = name_of(dataset.root)
    return Study(dataset, name, synthetic, records, config, place)


def _generate(folder: Path, changes: dict, progress: bool) -> Path:
    from fedet.synthetic import SynthConfig, synthesize

    small = {"subjects": 6, "seconds": 45.0, "seed": 11, "events_per_minute": 10.0, "silent_share": 0.0}
    config = SynthConfig(**(small | changes))
    name = f"generated_{config.subjects}x{config.videos}x{config.seconds:g}s_{config.seed}"
    return synthesize(folder / name, config, jobs=1, progress=progress)
