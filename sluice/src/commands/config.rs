//! `sluice config`: prints the effective settings, their JSON Schema and their reference.

use super::CommandError;
use crate::{cli::ConfigOptions, output, settings::Settings, settings_reference};

/// Prints the effective settings with secrets hidden, as TOML or JSON.
///
/// # Errors
/// When the settings can't be written as TOML, or standard output is closed.
pub fn print_effective(options: &ConfigOptions, settings: &Settings) -> Result<(), CommandError> {
    if options.json {
        output::print_json(settings)?;
    } else {
        output::print(toml::to_string(settings)?.trim_end())?;
    }
    Ok(())
}

/// Prints the JSON Schema of the settings.
///
/// # Errors
/// When standard output is closed.
pub fn print_schema() -> Result<(), CommandError> {
    Ok(output::print_json(&settings_reference::json_schema())?)
}

/// Prints the reference of all settings in Markdown.
///
/// # Errors
/// When standard output is closed.
pub fn print_reference() -> Result<(), CommandError> {
    Ok(output::print(settings_reference::markdown().trim_end())?)
}

#[cfg(test)]
mod tests {
    use platform::{config::load_layers, secret::Secret};

    use super::*;

    #[test]
    fn the_printed_settings_hide_secrets_and_can_be_loaded_again() {
        let mut settings = Settings::default();
        settings.nats.password = Secret::new("hunter2");
        let text = toml::to_string(&settings).unwrap();
        assert!(text.contains("[gateway.identity.local]") && !text.contains("hunter2"), "{text}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let again: Settings = load_layers([file.path()]).unwrap();
        assert_eq!(toml::to_string(&again).unwrap(), text);
    }
}
