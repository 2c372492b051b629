//! `sluice config`: the effective settings.

use super::CommandError;
use crate::{cli::ConfigOptions, output, settings::Settings};

/// Prints them with secrets hidden.
///
/// # Errors
/// When nobody reads them.
pub fn run(options: &ConfigOptions, settings: &Settings) -> Result<(), CommandError> {
    if options.json {
        output::print_json(settings)?;
    } else {
        output::print(toml::to_string(settings)?.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use platform::{config::load_layers, secret::Secret};

    use super::*;

    #[test]
    fn what_is_printed_hides_secrets_and_can_be_read_again() {
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
