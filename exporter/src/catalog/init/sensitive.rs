//! Guesses which columns have personal data, from their names and from a sample of their values.
//!
//! A guess puts a mask on a column, which hides values until an operator removes the mask. So a wrong guess reveals
//! nothing. The reason of a guess states the evidence, but never repeats a value.

use protocol::{access::ColumnMask, catalog::ColumnType};

use super::names::words;

/// The minimum share of sampled values, in percent, that must look like personal data, if the name of the column does
/// not suggest personal data.
const MIN_SHARE: usize = 80;
/// The minimum number of sampled values that can prove or disprove a guess. Fewer values may look like personal data by
/// chance.
const MIN_VALUES: usize = 3;
/// The last words of names that only seem to be names of personal data, such as `phone_verified` or `email_count`.
const OTHER_THINGS: [&str; 16] = [
    "at", "brand", "count", "date", "domain", "enabled", "expires", "id", "model", "sent", "status", "subject",
    "template", "type", "types", "verified",
];

/// A kind of personal or secret data, such as e-mail addresses or passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sensitive {
    Email,
    Phone,
    Card,
    NationalId,
    Secret,
}

/// A guess that a column has personal or secret data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) kind: Sensitive,
    /// The reason for the guess, as a sentence.
    pub(super) reason: String,
    /// Whether the mask is in effect. False if the name suggests personal data, but no sampled value looks like it. The
    /// catalog file then has the mask in a comment.
    pub(super) applies: bool,
}

impl Sensitive {
    const ALL: [Self; 5] = [Self::Secret, Self::Email, Self::Card, Self::NationalId, Self::Phone];

    /// Returns the plural name of this kind of data, for the reason of a guess.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Email => "e-mail addresses",
            Self::Phone => "phone numbers",
            Self::Card => "card numbers",
            Self::NationalId => "national ids",
            Self::Secret => "passwords or keys",
        }
    }

    /// Returns the scope that a caller needs to see the values.
    pub(super) const fn scope(self) -> &'static str {
        match self {
            Self::Email | Self::Phone | Self::NationalId => "pii:read",
            Self::Card => "cards:read",
            Self::Secret => "secrets:read",
        }
    }

    /// Returns the mask for a column of the type `kind`. Only columns of texts can have the mask `redacted` or
    /// `last_four`.
    pub(super) const fn mask(self, kind: ColumnType) -> ColumnMask {
        match (self, kind) {
            (Self::Secret, _) => ColumnMask::Hidden,
            (Self::Card, ColumnType::String) => ColumnMask::LastFour,
            (_, ColumnType::String) => ColumnMask::Redacted,
            _ => ColumnMask::Null,
        }
    }

    /// Whether `words`, the words of a column's name, are a usual name for data of this kind.
    fn has_name(self, words: &[&str]) -> bool {
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
        let follows =
            |first: &str, second: &[&str]| words.windows(2).any(|pair| pair[0] == first && second.contains(&pair[1]));
        let number = ["number", "no", "nr", "num"];
        if words.last().is_some_and(|last| OTHER_THINGS.contains(last))
            && !follows("national", &["id"])
            && !has(&["tax"])
        {
            return false;
        }
        match self {
            Self::Email => has(&["email", "emails", "mail"]) || follows("e", &["mail", "mails"]),
            Self::Phone => has(&[
                "phone",
                "phones",
                "telephone",
                "tel",
                "mobile",
                "cellphone",
                "fax",
                "msisdn",
                "telefon",
                "handy",
            ]),
            Self::Card => {
                has(&["cardnumber", "creditcard", "ccnumber", "cardno", "pan", "ccnum"])
                    || follows("card", &number)
                    || follows("cc", &number)
                    || follows("credit", &["card"])
            }
            Self::NationalId => {
                has(&[
                    "ssn",
                    "nationalid",
                    "passport",
                    "taxid",
                    "cpf",
                    "dni",
                    "nif",
                    "nin",
                    "curp",
                    "aadhaar",
                    "personnummer",
                ]) || follows("national", &["id", "identity", "identifier"])
                    || follows("tax", &["id", "number", "no"])
                    || follows("social", &["security"])
                    || follows("id", &["card"])
                    || follows("identity", &number)
                    || follows("driver", &["license", "licence"])
                    || follows("drivers", &["license", "licence"])
            }
            Self::Secret => {
                has(&["password", "passwd", "pwd", "passphrase", "passwort", "secret", "apikey", "token", "otp"])
                    || follows("api", &["key"])
                    || follows("private", &["key"])
                    || follows("access", &["key"])
            }
        }
    }

    /// Whether a value looks like data of this kind. If `is_named` is true, the name of the column already suggests
    /// this kind, and the check is less strict. None if the values of this kind have no recognisable form.
    fn matches(self, value: &str, is_named: bool) -> Option<bool> {
        match self {
            Self::Email => Some(is_email(value)),
            Self::Phone => Some(is_phone(value, is_named)),
            Self::Card => Some(is_card(value)),
            Self::NationalId if is_named => None,
            Self::NationalId => Some(is_social_security_number(value)),
            Self::Secret => None,
        }
    }
}

/// Guesses whether a column of this name and type has personal data. `sample` has values of the column without NULL.
/// Returns None if neither the name nor the values look like personal data.
pub(super) fn guess(name: &str, kind: ColumnType, sample: &[String]) -> Option<Guess> {
    if !matches!(kind, ColumnType::String | ColumnType::Int | ColumnType::Decimal) {
        return None;
    }
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let by_name = Sensitive::ALL.into_iter().find(|of| of.has_name(&words) && of.may_have(kind));
    if let Some(of) = by_name {
        let matching = sample.iter().map(|value| of.matches(value, true)).collect::<Option<Vec<_>>>();
        let matching = matching.map(|all| all.iter().filter(|matches| **matches).count());
        return Some(match matching {
            Some(0) if sample.len() >= MIN_VALUES => Guess {
                kind: of,
                reason: format!(
                    "its name suggests {}, but none of {} sampled values looks like one",
                    of.plural(),
                    sample.len()
                ),
                applies: false,
            },
            Some(count) if count > 0 => {
                let reason = format!("its name and {count} of {} sampled values suggest {}", sample.len(), of.plural());
                Guess { kind: of, reason, applies: true }
            }
            _ => Guess { kind: of, reason: format!("its name suggests {}", of.plural()), applies: true },
        });
    }
    if sample.len() < MIN_VALUES {
        return None;
    }
    let by_values = Sensitive::ALL.into_iter().filter(|of| of.may_have(kind)).find_map(|of| {
        let count = sample.iter().filter(|value| of.matches(value, false) == Some(true)).count();
        (count * 100 >= sample.len() * MIN_SHARE).then_some((of, count))
    });
    by_values.map(|(kind, count)| {
        let reason = format!("{count} of {} sampled values look like {}", sample.len(), kind.plural());
        Guess { kind, reason, applies: true }
    })
}

impl Sensitive {
    /// Whether a column of the type `kind` can have data of this kind.
    const fn may_have(self, kind: ColumnType) -> bool {
        match self {
            Self::Email | Self::Secret => matches!(kind, ColumnType::String),
            Self::Phone | Self::Card | Self::NationalId => true,
        }
    }
}

fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.trim().split_once('@') else { return false };
    let is_plain = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '@');
    is_plain(local) && is_plain(domain) && domain.trim_matches('.').contains('.')
}

fn is_phone(value: &str, is_named: bool) -> bool {
    let value = value.trim();
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    if !(7..=15).contains(&digits) || value.contains(|c: char| !c.is_ascii_digit() && !"+-()./ ".contains(c)) {
        return false;
    }
    // dates and amounts have digits and separators, too
    is_named || value.starts_with('+') || (value.starts_with('(') && value.contains(')'))
}

fn is_card(value: &str) -> bool {
    if value.contains(|c: char| !c.is_ascii_digit() && c != ' ' && c != '-') {
        return false;
    }
    let digits: Vec<u32> = value.chars().filter_map(|c| c.to_digit(10)).collect();
    // the numbers of payment cards begin with 2 to 6, and end with a check digit (ISO/IEC 7812-1)
    if !(13..=19).contains(&digits.len()) || !(2..=6).contains(&digits[0]) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| match digit * 2 {
            _ if at % 2 == 0 => *digit,
            doubled if doubled > 9 => doubled - 9,
            doubled => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a value has the form of a United States social security number, such as `123-45-6789`.
fn is_social_security_number(value: &str) -> bool {
    let parts: Vec<&str> = value.trim().split('-').collect();
    let is = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts.as_slice(), [area, group, serial] if is(area, 3) && is(group, 2) && is(serial, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, kind: ColumnType, sample: &[&str]) -> Option<(Sensitive, bool)> {
        let sample: Vec<_> = sample.iter().map(ToString::to_string).collect();
        guess(name, kind, &sample).map(|guess| (guess.kind, guess.applies))
    }

    #[test]
    fn personal_data_is_recognised_by_name() {
        use Sensitive::{Card, Email, NationalId, Phone, Secret};
        for (name, expected) in [
            ("email", Some(Email)),
            ("customerEmail", Some(Email)),
            ("e_mail_address", Some(Email)),
            ("phone", Some(Phone)),
            ("mobile_number", Some(Phone)),
            ("card_number", Some(Card)),
            ("creditCard", Some(Card)),
            ("ssn", Some(NationalId)),
            ("national_id", Some(NationalId)),
            ("tax_id", Some(NationalId)),
            ("passport_no", Some(NationalId)),
            ("password_hash", Some(Secret)),
            ("api_key", Some(Secret)),
            ("email_verified", None),
            ("email_id", None),
            ("phone_model", None),
            ("card_type", None),
            ("company", None),
            ("panel", None),
            ("hotel", None),
            ("tokenizer", None),
        ] {
            assert_eq!(of(name, ColumnType::String, &[]), expected.map(|kind| (kind, true)), "{name}");
        }
        assert_eq!(of("email", ColumnType::Bool, &[]), None);
        assert_eq!(of("password", ColumnType::Int, &[]), None);
        assert_eq!(of("phone", ColumnType::Int, &["4915112345678"]), Some((Phone, true)));
    }

    #[test]
    fn values_speak_for_and_against_a_name() {
        use Sensitive::{Card, Email, NationalId, Phone};
        let text = ColumnType::String;
        let emails = ["a@example.com", "b.c@example.org", "d+e@mail.example.net"];
        assert_eq!(of("contact", text, &emails), Some((Email, true)));
        assert_eq!(of("contact", text, &emails[..2]), None, "two values prove nothing");
        assert_eq!(of("contact", text, &["a@example.com", "none", "n/a", "x"]), None);
        assert_eq!(of("email", text, &["yes", "no", "no"]), Some((Email, false)));
        assert_eq!(of("email", text, &["yes", "no", "a@example.com"]), Some((Email, true)));
        let cards = ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009"];
        assert_eq!(of("payment", text, &cards), Some((Card, true)));
        assert_eq!(of("payment", text, &["4111111111111112", "5500000000000005", "340000000000008"]), None);
        assert_eq!(of("n", text, &["123-45-6789", "001-02-0003", "999-99-9999"]), Some((NationalId, true)));
        assert_eq!(of("n", text, &["+49 30 123456", "(555) 123-4567", "+1.212.555.0100"]), Some((Phone, true)));
        for other in [["2026-11-22", "2026-11-23", "2026-11-24"], ["1.234.567", "2.345.678", "3.456.789"]] {
            assert_eq!(of("n", text, &other), None, "{other:?}");
        }
        assert_eq!(of("phone", text, &["030 123456", "0151-2345678", "unknown"]), Some((Phone, true)));
        assert_eq!(of("phone", text, &["iPhone", "Pixel", "Galaxy"]), Some((Phone, false)));
    }

    #[test]
    fn a_reason_has_no_value() {
        let sample = ["a@example.com", "b@example.com", "c@example.com"].map(str::to_owned);
        let by_values = guess("contact", ColumnType::String, &sample).unwrap().reason;
        assert_eq!(by_values, "3 of 3 sampled values look like e-mail addresses");
        let by_both = guess("email", ColumnType::String, &sample).unwrap().reason;
        assert_eq!(by_both, "its name and 3 of 3 sampled values suggest e-mail addresses");
        assert_eq!(guess("email", ColumnType::String, &[]).unwrap().reason, "its name suggests e-mail addresses");
    }

    #[test]
    fn only_texts_are_redacted() {
        assert_eq!(Sensitive::Card.mask(ColumnType::String), ColumnMask::LastFour);
        assert_eq!(Sensitive::Email.mask(ColumnType::String), ColumnMask::Redacted);
        assert_eq!(Sensitive::Phone.mask(ColumnType::Int), ColumnMask::Null);
        assert_eq!(Sensitive::Secret.mask(ColumnType::String), ColumnMask::Hidden);
    }
}
