//! Durations and sizes in settings, in a form such as `"30s"`, `"1m 30s"` or `"8 MiB"`.
//!
//! Each value includes its unit, so that no setting needs the suffix `_ms` or `_bytes`. The parsers refuse a number
//! without a unit.

mod duration;
mod size;

pub use self::{duration::HumanDuration, size::ByteSize};

/// The error for a text or number that is not a duration or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

/// The error text for a number without a unit.
macro_rules! number_with_unit {
    ($example:literal) => {
        concat!("write a number with a unit, such as \"", $example, "\"")
    };
}
use number_with_unit;

/// Implements serialization, `Debug` and the JSON schema of a unit type by its text form.
macro_rules! impl_unit_type {
    ($type:ty, $schema:literal, $pattern:literal, [$($example:literal),+], $wanted:expr) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($wanted)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
                        Err(E::custom($wanted))
                    }

                    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
                        Err(E::custom($wanted))
                    }

                    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
                        Err(E::custom($wanted))
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $schema.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "examples": [$($example),+],
                })
            }
        }
    };
}
use impl_unit_type;

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format, Serialized, Toml},
    };
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
    struct Settings {
        pause: HumanDuration,
        limit: ByteSize,
    }

    const SETTINGS: Settings = Settings { pause: HumanDuration::from_secs(90), limit: ByteSize::mib(8) };

    #[test]
    fn values_are_read_from_toml_and_from_lossy_environment_text() {
        let toml = Toml::string("pause = \"1m 30s\"\nlimit = \"8 MiB\"");
        assert_eq!(Figment::new().merge(toml).extract_lossy::<Settings>().unwrap(), SETTINGS);
        let text =
            Figment::new().merge(Serialized::default("pause", "1m 30s")).merge(Serialized::default("limit", "8MiB"));
        assert_eq!(text.extract_lossy::<Settings>().unwrap(), SETTINGS);
    }

    #[test]
    fn values_are_written_as_the_text_that_they_are_read_from() {
        let json = serde_json::to_string(&SETTINGS).unwrap();
        assert_eq!(json, r#"{"pause":"1m 30s","limit":"8 MiB"}"#);
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), SETTINGS);
        assert_eq!(format!("{SETTINGS:?}"), "Settings { pause: 1m 30s, limit: 8 MiB }");
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_an_example() {
        for settings in
            ["pause = 30\nlimit = \"1 B\"", "pause = 0.5\nlimit = \"1 B\"", "pause = \"30\"\nlimit = \"1 B\""]
        {
            let error =
                Figment::new().merge(Toml::string(settings)).extract_lossy::<Settings>().unwrap_err().to_string();
            assert!(error.contains("write a number with a unit, such as \"30s\""), "{error}");
            assert!(error.contains("pause"), "{error}");
        }
        let error = serde_json::from_str::<ByteSize>("512").unwrap_err().to_string();
        assert!(error.contains("write a number with a unit, such as \"8 MiB\""), "{error}");
    }

    #[test]
    fn the_schema_is_a_text_with_a_pattern_and_examples() {
        let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
        for (definition, example) in [("Duration", "30s"), ("ByteSize", "8 MiB")] {
            let definition = &schema["$defs"][definition];
            assert_eq!(definition["type"], "string");
            assert!(definition["pattern"].is_string());
            assert!(definition["examples"].as_array().unwrap().contains(&example.into()));
        }
    }
}
