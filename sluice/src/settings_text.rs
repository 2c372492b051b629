//! The effective settings as TOML text for a backup.

use backup::SettingsText;
use platform::secret::{Secret, is_hidden, with_exposed_secrets};

use crate::settings::Settings;

/// Returns the settings as TOML text, with secrets and without secrets.
///
/// # Errors
/// When the settings can't be written as TOML.
pub fn settings_text(settings: &Settings) -> Result<SettingsText, toml::ser::Error> {
    let mut hidden = toml::Value::try_from(settings)?;
    let mut secrets = vec![];
    remove_hidden(&mut hidden, "", &mut secrets);
    Ok(SettingsText {
        without_secrets: toml::to_string(&hidden)?,
        with_secrets: Secret::new(with_exposed_secrets(|| toml::to_string(settings))?),
        secrets,
    })
}

/// Removes hidden secrets from a value, and collects their dotted names.
fn remove_hidden(value: &mut toml::Value, name: &str, secrets: &mut Vec<String>) {
    let dotted = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        toml::Value::Table(table) => {
            table.retain(|key, value| {
                let hidden = value.as_str().is_some_and(is_hidden);
                if hidden {
                    secrets.push(dotted(key));
                }
                !hidden
            });
            for (key, value) in table.iter_mut() {
                remove_hidden(value, &dotted(key), secrets);
            }
        }
        toml::Value::Array(values) => {
            for (n, value) in values.iter_mut().enumerate() {
                remove_hidden(value, &dotted(&n.to_string()), secrets);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use platform::config::load_layers;

    use super::*;

    #[test]
    fn an_unencrypted_text_omits_and_names_secrets_and_an_encrypted_one_keeps_them() {
        let mut settings = Settings::default();
        settings.nats.password = Secret::new("hunter2");
        settings.gateway.identity.local.secret = Secret::new("hunter3");
        settings.backup.keep_daily = 9;
        let text = settings_text(&settings).unwrap();
        assert!(!text.without_secrets.contains("hunter") && !text.without_secrets.contains("***"));
        let mut named = text.secrets.clone();
        named.sort();
        assert_eq!(named, ["database.url", "gateway.identity.local.secret", "nats.password"]);
        for (toml, password) in [(text.without_secrets.as_str(), ""), (text.with_secrets.expose(), "hunter2")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), toml).unwrap();
            let again: Settings = load_layers([file.path()]).unwrap();
            assert_eq!((again.nats.password.expose(), again.backup.keep_daily), (password, 9));
        }
    }
}
