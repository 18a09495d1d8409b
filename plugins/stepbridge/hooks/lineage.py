"""An execution in OpenLineage's terms: the datasets that it reads and writes, their sizes, and its ARN.

The OpenLineage provider is imported only when it asks for facets. Datasets are named as OpenLineage prescribes for S3
(https://openlineage.io/docs/spec/naming). A prefix is named without the slash at its end, as Spark names folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stepbridge.aws.arns import S3Uri
from stepbridge.core.execution_input import ExecutionInput
from stepbridge.core.run_report.model import Listing, RunReport

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

SOURCE: Final = "aws:states"


@dataclass(frozen=True)
class Lineage:
    """Of one execution; what is empty or None is not known."""

    execution_arn: str = ""
    input_uri: str = ""
    output_uri: str = ""
    inputs: Listing | None = None
    outputs: Listing | None = None

    @classmethod
    def of_input(cls, execution_input: ExecutionInput, execution_arn: str = "") -> Lineage:
        """What is known when an execution starts."""
        return cls(execution_arn, execution_input.input_uri, execution_input.output_uri)

    @classmethod
    def of_report(cls, report: RunReport) -> Lineage:
        """What is known when it has ended."""
        uri = report.input.get("input_uri")
        input_uri = uri if isinstance(uri, str) else ""
        return cls(report.execution_arn, input_uri, report.output_uri or "", report.inputs, report.outputs)

    def facets(self) -> OperatorLineage[Any, Any]:
        """The same in OpenLineage's terms; the ARN is an external query's id, its facet for work done elsewhere."""
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import InputDataset, OutputDataset
        from openlineage.client.generated.external_query_run import ExternalQueryRunFacet
        from openlineage.client.generated.input_statistics_input_dataset import InputStatisticsInputDatasetFacet
        from openlineage.client.generated.output_statistics_output_dataset import OutputStatisticsOutputDatasetFacet

        read, written = _figures(self.inputs), _figures(self.outputs)
        inputs = [InputDataset(*_name(self.input_uri))] if self.input_uri else []
        outputs = [OutputDataset(*_name(self.output_uri))] if self.output_uri else []
        for source in inputs if read else []:
            source.inputFacets = {"inputStatistics": InputStatisticsInputDatasetFacet(**read)}
        for target in outputs if written else []:
            target.outputFacets = {"outputStatistics": OutputStatisticsOutputDatasetFacet(**written)}
        run = {"externalQuery": ExternalQueryRunFacet(self.execution_arn, SOURCE)} if self.execution_arn else {}
        return OperatorLineage(inputs=inputs, outputs=outputs, run_facets=run)


class LineageMixin:
    """For operators: keep ``lineage`` up to date, and the OpenLineage provider finds it."""

    lineage = Lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  OpenLineage's signature
        """Called by the OpenLineage provider; after a failure, what is known by then."""
        return self.lineage.facets()

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete


def _figures(listing: Listing | None) -> dict[str, Any]:
    """Rows, bytes and files; empty when not all objects were counted."""
    if listing is None or not listing.complete:
        return {}
    rows = {} if listing.rows is None else {"rowCount": listing.rows}
    return {**rows, "size": listing.bytes, "fileCount": listing.count}


def _name(uri: str) -> tuple[str, str]:
    """Namespace and name."""
    place = S3Uri.parse(uri)
    return f"s3://{place.bucket}", place.key.rstrip("/") or "/"
