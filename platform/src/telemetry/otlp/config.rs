//! Reads the standard environment variables of OpenTelemetry
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! The SDK ignores a value that it cannot parse. Sluice refuses such a value with an error that names the variable. An
//! empty variable counts as unset.

use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

use axum::http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use url::Url;

use crate::{secret::Secret, telemetry::TelemetryError};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const MAX_QUEUE_SIZE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
const MAX_EXPORT_BATCH_SIZE: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
const SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";

/// The settings for sending spans to a collector.
///
/// The SDK itself reads `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.
#[derive(Debug)]
pub(super) struct OtlpConfig {
    /// The URL of the collector. If the URL is None, the process sends no spans.
    pub(super) endpoint: Option<Url>,
    /// The headers of each request as `name=value` pairs, separated by commas, with percent-encoded values.
    headers: Secret,
    /// The name of the variable that sets the headers, for error texts.
    headers_variable: &'static str,
    /// The maximum duration of one request. Default: 10 s.
    pub(super) timeout: Duration,
    /// The ratio of traces to record, from 0 to 1. Default: 1.
    pub(super) sample_ratio: f64,
    /// The maximum number of unsent spans. The process drops further spans. Default: 2048.
    pub(super) max_queue_size: usize,
    /// The maximum number of spans in one request. Default: 512.
    pub(super) max_export_batch_size: usize,
    /// The maximum time that spans wait until a batch is full. Default: 5 s.
    pub(super) schedule_delay: Duration,
}

impl OtlpConfig {
    /// Reads the environment variables of the process.
    pub(super) fn from_env() -> Result<Self, TelemetryError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads the variables through the function `variable`, so that tests need no environment.
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, TelemetryError> {
        let variables = Variables(|name: &str| variable(name).filter(|text| !text.trim().is_empty()));
        variables.check_protocol()?;
        let config = Self {
            endpoint: variables.endpoint()?,
            headers: Secret::new(
                variables.first_of([TRACES_HEADERS, HEADERS]).map(|(_, text)| text).unwrap_or_default(),
            ),
            headers_variable: variables.first_of([TRACES_HEADERS, HEADERS]).map_or(HEADERS, |(name, _)| name),
            timeout: variables.milliseconds([TRACES_TIMEOUT, TIMEOUT], 10_000)?,
            sample_ratio: variables.sample_ratio()?,
            max_queue_size: variables.positive(MAX_QUEUE_SIZE, 2_048)?,
            max_export_batch_size: variables.positive(MAX_EXPORT_BATCH_SIZE, 512)?,
            schedule_delay: variables.milliseconds([SCHEDULE_DELAY], 5_000)?,
        };
        if config.max_queue_size < config.max_export_batch_size {
            return Err(refuse(MAX_QUEUE_SIZE, format!("must not be less than {MAX_EXPORT_BATCH_SIZE}")));
        }
        config.headers()?;
        Ok(config)
    }

    /// Returns the headers by name. The error for an invalid header contains the position of the header, but not its
    /// text.
    pub(super) fn headers(&self) -> Result<HashMap<String, String>, TelemetryError> {
        let pairs = self.headers.expose().split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let header = |(index, pair): (usize, &str)| {
            let bad = || refuse(self.headers_variable, format!("header {} is not `name=value`", index + 1));
            let (name, value) = pair.split_once('=').ok_or_else(bad)?;
            let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| bad())?;
            let valid = HeaderName::try_from(name.trim()).is_ok() && HeaderValue::try_from(&*value).is_ok();
            if valid { Ok((name.trim().to_owned(), value.into_owned())) } else { Err(bad()) }
        };
        pairs.enumerate().map(header).collect()
    }
}

/// Reads environment variables; an empty variable counts as unset.
struct Variables<F>(F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// Returns the name and the value of the first of these variables that is set.
    fn first_of<const N: usize>(&self, names: [&'static str; N]) -> Option<(&'static str, String)> {
        names.into_iter().find_map(|name| Some((name, self.0(name)?)))
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &'static str, text: &str) -> Result<T, TelemetryError> {
        text.trim().parse().map_err(|e| refuse(name, e))
    }

    fn positive(&self, name: &'static str, default: usize) -> Result<usize, TelemetryError> {
        let Some(text) = self.0(name) else { return Ok(default) };
        match self.parsed(name, &text)? {
            0 => Err(refuse(name, "must be 1 or more")),
            number => Ok(number),
        }
    }

    fn milliseconds<const N: usize>(&self, names: [&'static str; N], default: u64) -> Result<Duration, TelemetryError> {
        let milliseconds = match self.first_of(names) {
            None => default,
            Some((name, text)) => match self.parsed(name, &text)? {
                0 => return Err(refuse(name, "must be 1 millisecond or more")),
                milliseconds => milliseconds,
            },
        };
        Ok(Duration::from_millis(milliseconds))
    }

    /// Refuses every protocol except `http/protobuf`, because this build does not contain gRPC.
    fn check_protocol(&self) -> Result<(), TelemetryError> {
        match self.first_of([TRACES_PROTOCOL, PROTOCOL]) {
            Some((name, text)) if text.trim() != "http/protobuf" => Err(refuse(name, "must be http/protobuf")),
            _ => Ok(()),
        }
    }

    /// Returns the URL to which the process sends spans: the endpoint for traces unchanged, or the common endpoint with
    /// the path `/v1/traces`.
    fn endpoint(&self) -> Result<Option<Url>, TelemetryError> {
        let Some((name, text)) = self.first_of([TRACES_ENDPOINT, ENDPOINT]) else { return Ok(None) };
        let base: Url = self.parsed(name, &text)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse(name, "must be an http or https URL"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refuse(name, format!("must not hold a user or a password: set {HEADERS}")));
        }
        if name == TRACES_ENDPOINT {
            return Ok(Some(base));
        }
        let url = format!("{}/v1/traces", base.as_str().trim_end_matches('/'));
        self.parsed(name, &url).map(Some)
    }

    /// Returns the ratio of traces to record. Only parent-based samplers are allowed, because the gateway decides for
    /// all services whether a trace is recorded.
    fn sample_ratio(&self) -> Result<f64, TelemetryError> {
        let sampler = self.0(SAMPLER);
        match sampler.as_deref().map(str::trim) {
            None | Some("parentbased_always_on") => Ok(1.0),
            Some("parentbased_always_off") => Ok(0.0),
            Some("parentbased_traceidratio") => {
                let Some(text) = self.0(SAMPLER_ARG) else { return Ok(1.0) };
                let ratio = self.parsed(SAMPLER_ARG, &text)?;
                if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err(refuse(SAMPLER_ARG, "must be from 0 to 1")) }
            }
            Some(_) => {
                let known = "must be parentbased_always_on, parentbased_always_off or parentbased_traceidratio";
                Err(refuse(SAMPLER, known))
            }
        }
    }
}

pub(super) fn refuse(variable: &'static str, detail: impl fmt::Display) -> TelemetryError {
    TelemetryError::Variable { variable, detail: detail.to_string() }
}

#[cfg(test)]
impl OtlpConfig {
    /// Reads the settings from these variables.
    pub(super) fn of(variables: &[(&str, &str)]) -> Result<Self, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        Self::from_variables(find).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_and_empty_variables_give_the_defaults_of_the_specification() {
        let config = OtlpConfig::of(&[(ENDPOINT, "")]).unwrap();
        assert_eq!((config.endpoint, config.sample_ratio), (None, 1.0));
        assert_eq!((config.timeout, config.schedule_delay), (Duration::from_secs(10), Duration::from_secs(5)));
        assert_eq!((config.max_queue_size, config.max_export_batch_size), (2_048, 512));
    }

    #[test]
    fn the_variable_for_traces_wins_over_the_common_one() {
        let endpoint = |variables: &[(&str, &str)]| OtlpConfig::of(variables).unwrap().endpoint.unwrap().to_string();
        assert_eq!(endpoint(&[(ENDPOINT, "http://collector:4318/")]), "http://collector:4318/v1/traces");
        let both = [(ENDPOINT, "http://collector:4318"), (TRACES_ENDPOINT, "https://traces/take")];
        assert_eq!(endpoint(&both), "https://traces/take");
        let both = [(TIMEOUT, "100"), (TRACES_TIMEOUT, "200")];
        assert_eq!(OtlpConfig::of(&both).unwrap().timeout, Duration::from_millis(200));
    }

    #[test]
    fn headers_are_percent_decoded() {
        let config = OtlpConfig::of(&[(HEADERS, "authorization=Basic%20abc==, x-tenant=7")]).unwrap();
        let expected = HashMap::from([("authorization", "Basic abc=="), ("x-tenant", "7")]);
        let expected = expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(config.headers().unwrap(), expected);
    }

    #[test]
    fn a_bad_value_is_refused_by_its_variable_and_secrets_are_not_shown() {
        const RATIO: (&str, &str) = (SAMPLER, "parentbased_traceidratio");
        assert_eq!(OtlpConfig::of(&[RATIO, (SAMPLER_ARG, "0.25")]).unwrap().sample_ratio, 0.25);
        let bad: [(&str, &[(&str, &str)]); 13] = [
            (PROTOCOL, &[(PROTOCOL, "grpc")]),
            (SAMPLER_ARG, &[RATIO, (SAMPLER_ARG, "1.5")]),
            (SAMPLER_ARG, &[RATIO, (SAMPLER_ARG, "NaN")]),
            (SAMPLER_ARG, &[RATIO, (SAMPLER_ARG, "half")]),
            (SAMPLER, &[(SAMPLER, "always_on")]),
            (MAX_EXPORT_BATCH_SIZE, &[(MAX_EXPORT_BATCH_SIZE, "0")]),
            (MAX_QUEUE_SIZE, &[(MAX_QUEUE_SIZE, "1")]),
            (SCHEDULE_DELAY, &[(SCHEDULE_DELAY, "2s")]),
            (TIMEOUT, &[(TIMEOUT, "0")]),
            (ENDPOINT, &[(ENDPOINT, "collector:4318")]),
            (TRACES_ENDPOINT, &[(TRACES_ENDPOINT, "http://me:hidden@collector:4318")]),
            (HEADERS, &[(HEADERS, "x-fine=1,hidden")]),
            (TRACES_HEADERS, &[(TRACES_HEADERS, "x y=hidden")]),
        ];
        for (variable, variables) in bad {
            let error = OtlpConfig::of(variables).unwrap_err();
            assert!(error.starts_with(&format!("{variable}: ")) && !error.contains("hidden"), "{error}");
        }
    }
}
