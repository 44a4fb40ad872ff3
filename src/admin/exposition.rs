//! The exposition formats of metrics: Prometheus text format 0.0.4 or OpenMetrics, selected by the `Accept` field.

use std::fmt::{self, Write as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Selects the format with the higher weight (RFC 9110 section 12.5.1). If both have the same weight or none,
    /// selects the text format, like the exporters of Prometheus: every reader supports it.
    pub(super) fn asked_for<'a>(accept: impl Iterator<Item = &'a str>) -> Self {
        let ranges = accept.flat_map(|field| field.split(','));
        let ranges: Vec<Range<'_>> = ranges.filter_map(Range::read).collect();
        let weight = |format: Self| {
            let fitting = ranges.iter();
            let fitting = fitting.filter_map(|range| Some((range.fits(format)?, range.weight)));
            // The most specific range decides.
            let best =
                fitting.max_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
            best.map_or(0.0, |(_, weight)| weight)
        };
        if weight(Self::OpenMetrics) > weight(Self::Prometheus) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Converts the OpenMetrics text to this format.
    pub(super) fn write(self, open_metrics: String) -> Result<String, fmt::Error> {
        match self {
            Self::OpenMetrics => Ok(open_metrics),
            Self::Prometheus => prometheus(&open_metrics),
        }
    }
}

/// A media range of an `Accept` field.
#[derive(Clone, Copy)]
struct Range<'a> {
    kind: &'a str,
    subkind: &'a str,
    version: Option<&'a str>,
    weight: f32,
}

impl<'a> Range<'a> {
    /// `None`: the range is malformed and is ignored.
    fn read(range: &'a str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let mut read = Self {
            kind,
            subkind,
            version: None,
            weight: 1.0,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim_matches('"');
            if name.eq_ignore_ascii_case("version") {
                read.version = Some(value);
            } else if name.eq_ignore_ascii_case("q") {
                let weight = value.parse().ok();
                read.weight = weight.filter(|weight| (0.0..=1.0).contains(weight))?;
            }
        }
        Some(read)
    }

    /// How specifically the range matches a format; `None`: it does not match.
    fn fits(self, format: Format) -> Option<u8> {
        let own = Range::read(format.media_type())?;
        let is_kind = self.kind.eq_ignore_ascii_case(own.kind);
        let is_both = is_kind && self.subkind.eq_ignore_ascii_case(own.subkind);
        match (self.kind, self.subkind, self.version) {
            ("*", "*", _) => Some(0),
            (_, "*", _) if is_kind => Some(1),
            (_, _, None) if is_both => Some(2),
            (_, _, Some(_)) if is_both && self.version == own.version => Some(3),
            _ => None,
        }
    }
}

/// Converts OpenMetrics to the text format 0.0.4, in which HELP and TYPE name the samples, there is no type `info`, and
/// there are no units and no EOF.
fn prometheus(open_metrics: &str) -> Result<String, fmt::Error> {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        let about = line.strip_prefix("# ").and_then(|about| {
            let (what, rest) = about.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            Some((what, name, rest))
        });
        match about {
            Some(("HELP", _, text)) => help = text,
            Some(("TYPE", name, kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                writeln!(out, "# HELP {name}{suffix} {help}")?;
                writeln!(out, "# TYPE {name}{suffix} {kind}")?;
            }
            Some(_) => {}
            None if line.starts_with('#') => {}
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[&str]) -> Format {
        Format::asked_for(fields.iter().copied())
    }

    #[test]
    fn the_format_with_more_weight_is_selected_and_prometheus_by_default() {
        // The `Accept` fields of Prometheus 2.42, 3.0 and Grafana Alloy.
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,\
                            application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for fields in [
            &[prometheus_2] as &[_],
            &[prometheus_3],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text; Version=\"1.0.0\""],
            &["application/*"],
            &["text/plain;q=0.4, application/openmetrics-text;q=0.5"],
            &["text/plain;q=0.4", "application/openmetrics-text;q=0.5"],
            &["*/*, text/plain;q=0"],
            &["text/*;q=0.2, */*;q=0.3"],
            &["text/plain;version=0.0.4;q=0, */*"],
        ] {
            assert_eq!(asked(fields), Format::OpenMetrics, "{fields:?}");
        }
        for fields in [
            &[] as &[_],
            &[""],
            &["*/*"],
            &["text/plain"],
            &["text/plain;version=0.0.4"],
            &["text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8"],
            &["application/json"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=0, */*;q=0.1"],
            &["application/openmetrics-text, text/plain"],
            &["application/openmetrics-text;version=2.0.0"],
            &["application/openmetrics-text;version=0.0.1;q=0.9, text/plain;q=0.1"],
            &["application/openmetrics-text;q=2"],
            &["application/openmetrics-text;q=NaN"],
            &["application/openmetrics-text;q="],
            &["openmetrics-text"],
            &[";,/;=,*"],
        ] {
            assert_eq!(asked(fields), Format::Prometheus, "{fields:?}");
        }
    }

    #[test]
    fn in_the_prometheus_format_help_and_type_name_the_samples() {
        let open_metrics = "# HELP a_refused Why not.\n# TYPE a_refused counter\na_refused_total{b=\"# EOF\"} 1\n\
                            # HELP a_time_seconds How long.\n# TYPE a_time_seconds histogram\n# UNIT a_time_seconds seconds\n\
                            a_time_seconds_sum 0.5\n\
                            # HELP a_build Which.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_refused_total Why not.\n# TYPE a_refused_total counter\na_refused_total{b=\"# EOF\"} 1\n\
                        # HELP a_time_seconds How long.\n# TYPE a_time_seconds histogram\n\
                        a_time_seconds_sum 0.5\n\
                        # HELP a_build_info Which.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n";
        assert_eq!(prometheus(open_metrics).unwrap(), expected);
    }
}
