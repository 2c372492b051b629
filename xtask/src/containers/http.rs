//! A minimal HTTP client of the published port. It sends HTTP/1.0, so a response ends with the connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

/// The longest wait for the next bytes.
const PATIENCE: Duration = Duration::from_secs(90);
/// The longest response that is kept in memory, bytes.
const WHOLE: u64 = 4 * 1024 * 1024;

/// The published port, and the token of the signed-in user.
pub(super) struct Client {
    port: u16,
    token: String,
}

impl Client {
    /// Signs in as a user of the demo.
    pub(super) fn sign_in(port: u16, person: &str) -> Result<Self> {
        let mut client = Self { port, token: String::new() };
        let signed_in = client.json("POST", "/local/sign-in", &format!(r#"{{"person":"{person}"}}"#), 200)?;
        client.token = text(&signed_in, "token").context("signing in gave no token")?.to_owned();
        Ok(client)
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn get(&self, path: &str) -> Result<String> {
        self.json("GET", path, "", 200)
    }

    /// Sends a request and checks the status of the response.
    pub(super) fn json(&self, method: &str, path: &str, body: &str, wanted: u16) -> Result<String> {
        let (status, mut answer) = self.send(method, path, body)?;
        let mut said = String::new();
        answer.by_ref().take(WHOLE).read_to_string(&mut said).with_context(|| format!("{method} {path}"))?;
        if status != wanted {
            bail!("{method} {path} gave {status}, not {wanted}: {said}")
        }
        Ok(said)
    }

    /// Reads a file and returns its size in bytes and its SHA-256 in hex.
    pub(super) fn digest(&self, path: &str) -> Result<(u64, String)> {
        let (status, mut answer) = self.send("GET", path, "")?;
        if status != 200 {
            bail!("GET {path} gave {status}")
        }
        let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 64 * 1024]);
        loop {
            match answer.read(&mut buffer).with_context(|| format!("GET {path} broke off after {size} bytes"))? {
                0 => return Ok((size, hex::encode(hasher.finalize()))),
                count => {
                    hasher.update(&buffer[..count]);
                    size += count as u64;
                }
            }
        }
    }

    /// The status, and a reader of the body.
    fn send(&self, method: &str, path: &str, body: &str) -> Result<(u16, BufReader<TcpStream>)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).context("the published port")?;
        stream.set_read_timeout(Some(PATIENCE)).context("a deadline")?;
        let Self { port, token } = self;
        let bearer = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n{bearer}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).with_context(|| format!("{method} {path}"))?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line).with_context(|| format!("{method} {path}"))?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("{method} {path} gave no HTTP: {line:?}"))?;
        while line.trim_end() != "" {
            line.clear();
            answer.read_line(&mut line).with_context(|| format!("{method} {path}"))?;
        }
        Ok((status, answer))
    }
}

/// The string of the first member of this name in a JSON document whose strings need no escapes, such as ids and digests.
pub(super) fn text<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let value = after(json, name)?.strip_prefix('"')?;
    value.split_once('"').map(|(text, _)| text)
}

/// The number of the first member of this name in a JSON document.
pub(super) fn number(json: &str, name: &str) -> Option<u64> {
    let value = after(json, name)?;
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..digits].parse().ok()
}

fn after<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = json.split_once(&format!("\"{name}\""))?;
    Some(value.trim_start().strip_prefix(':')?.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_name() {
        let json = r#"{"id": "a1", "file":{"size":12,"rows": 3,"sha256":"00ff"}}"#;
        assert_eq!((text(json, "id"), text(json, "sha256")), (Some("a1"), Some("00ff")));
        assert_eq!((number(json, "size"), number(json, "rows")), (Some(12), Some(3)));
        assert_eq!((text(json, "size"), number(json, "id"), text(json, "none")), (None, None, None));
    }
}
