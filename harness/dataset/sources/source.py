"""A source of samples as a user names it: a file, a folder, the hub's dataset or invented news."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.digest import file_sha256
from build_engine.errors import DatasetError, UsageError
from build_engine.paths import cache_root, user_path
from harness.dataset.record import Origin, SourceKind
from harness.dataset.sources import bundled, jsonl, official, rebuilt
from harness.dataset.sources.sample import Purpose, Sample, name_text

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.rules.workload import Workload

_DEFAULT_WORKLOAD = "llama3.1-8b"  # whose articles a workload without data of its own takes


@dataclass(frozen=True, slots=True)
class Source:
    """Where samples come from, and the digest of what is there; `origin` is known of a set that
    was rebuilt.
    """

    name: str
    digest: str
    path: Path | None
    origin: Origin | None = None

    @classmethod
    def find(
        cls,
        text: str,
        workload: Workload | None = None,
        progress: Progress | None = None,
        purpose: Purpose = "evaluation",
    ) -> Source:
        """A file or a folder by its path, the hub's dataset or the bundled generator by its name.

        Of the hub's dataset and of a folder, the articles are those that `workload` asks for; they
        are fetched and checked here; they are for evaluation only. Raises DatasetError,
        EnvironmentFault and MissingLibrary.
        """
        path = user_path(text)
        if path.is_file():
            return cls(name_text(path.name), file_sha256(path), path.resolve())
        if text == bundled.NAME:
            return cls(bundled.NAME, bundled.digest(), None)
        folder = path if text and rebuilt.is_dataset(path) else None
        if folder is not None or text == rebuilt.NAME:
            return cls._rebuild(folder, workload, progress, purpose)
        raise DatasetError(
            f"There is no dataset file `{text}`; give the official cnn_eval.json, a .jsonl of "
            f"article/highlights, a folder with a copy of the hub's dataset, `{rebuilt.NAME}` to "
            f"fetch it, or `{bundled.NAME}`."
        )

    @classmethod
    def for_workload(
        cls,
        text: str | None,
        workload: Workload,
        progress: Progress | None = None,
        purpose: Purpose = "evaluation",
    ) -> Source:
        """What the user named, else the workload's own data. Raises as `find`, and UsageError for a
        workload that has none.
        """
        if text is None and workload.data is not None:
            text = rebuilt.NAME
        elif text is None and workload.name == bundled.NAME:
            text = bundled.NAME
        if text is None:
            raise UsageError(f"Workload `{workload.name}` needs its data: --dataset FILE.")
        return cls.find(text, workload, progress, purpose)

    @classmethod
    def _rebuild(
        cls,
        folder: Path | None,
        workload: Workload | None,
        progress: Progress | None,
        purpose: Purpose,
    ) -> Source:
        from harness.progress import NullProgress
        from harness.rules.workload import load_workload

        if workload is None or workload.data is None:
            workload = load_workload(_DEFAULT_WORKLOAD)
        data, count = workload.data, workload.num_samples
        assert data is not None
        if purpose == "calibration":
            raise DatasetError(
                f"The calibration set is distributed as a file: get {data.calibration_file} from "
                f"MLCommons (name `{data.calibration_uri}` of its downloader) and give that."
            )
        shown = progress or NullProgress()
        if folder is None:
            made = rebuilt.from_hub(data, count, cache_root(), shown)
        else:
            made = rebuilt.from_folder(folder, data, count, cache_root(), shown)
        return cls(made.name, made.digest, made.path, made.origin)

    @property
    def kind(self) -> SourceKind:
        """What sort of source it is."""
        if self.path is None:
            return "bundled"
        if self.origin is not None:
            return "rebuilt"
        return "official" if self.path.suffix == ".json" else "articles"

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return self.name.removesuffix(".jsonl").removesuffix(".json")

    def samples(self, count: int | None, purpose: Purpose = "evaluation") -> Iterator[Sample]:
        """The first `count` samples (all of a file when None)."""
        if self.path is None:
            return bundled.samples(count, purpose)
        read = official.samples if self.kind == "official" else jsonl.samples
        return islice(read(self.path), count)
