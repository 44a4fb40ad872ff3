"""Reads metrics from standard input, in OpenMetrics or in the text format of Prometheus, with the client library of Prometheus,
and writes their samples as JSON: name, labels, value."""

import json
import sys

from prometheus_client import openmetrics, parser
from prometheus_client.openmetrics import parser as _

read = {"openmetrics": openmetrics.parser, "prometheus": parser}[sys.argv[1]]
families = read.text_string_to_metric_families(sys.stdin.read())
samples = [[sample.name, sorted(sample.labels.items()), sample.value] for family in families for sample in family.samples]
print(json.dumps(sorted(samples)))
