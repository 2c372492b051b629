//! Finds texts such as `'today'` in SQL statements that PostgreSQL replaces by a time.

/// Text literals that PostgreSQL's parser replaces by the current time. The query plan shows only the resulting
/// constant.
const TIME_TEXTS: [&str; 4] = ["now", "today", "tomorrow", "yesterday"];

/// Returns a text such as `'today'` that PostgreSQL's parser has replaced by a time. Such a text is in the statement,
/// but no longer in the expressions of `plan`. Returns None if there is no such text.
pub(super) fn time_text(statement: &str, plan: &str) -> Option<String> {
    let (statement, plan) = (statement.to_lowercase(), plan.to_lowercase());
    let is_other = |c: char| c != '_' && !c.is_alphanumeric();
    // split at quotes, every second part is a quoted text; a quote in a comment shifts the parts, so all parts are
    // checked
    let written = |word: &str| {
        let mut parts = statement.split('\'').skip(1).map(str::trim_start);
        parts.any(|part| part.split(is_other).next() == Some(word))
    };
    // a plan shows a list of texts as one text
    let kept = |word: &str| plan.split('\'').skip(1).step_by(2).any(|part| part.split(is_other).any(|one| one == word));
    let word = TIME_TEXTS.into_iter().find(|word| written(word) && !kept(word))?;
    Some(format!("'{word}'"))
}

/// Returns a text such as `'today'` that becomes a time only when the plan runs, because an expression of `plan` casts
/// the text to a time. Returns None if there is no such text.
pub(super) fn late_time_text(plan: &str) -> Option<String> {
    let plan = plan.to_lowercase();
    let parts: Vec<_> = plan.split('\'').collect();
    let is_time = |cast: &str| ["date", "time"].iter().any(|kind| cast.starts_with(kind));
    // if a cast parses a constant text, the plan shows this text as a `cstring`
    let casts = |part: &str| {
        let cast = part.strip_prefix("::cstring)::").or_else(|| part.strip_prefix("::text)::"));
        cast.is_some_and(is_time)
    };
    let is_other = |c: char| c != '_' && !c.is_alphanumeric();
    let texts = parts.windows(2).skip(1).step_by(2).filter(|pair| casts(pair[1]));
    let mut words = texts.filter_map(|pair| pair[0].trim_start().split(is_other).next());
    let word = words.find(|word| TIME_TEXTS.contains(word))?;
    Some(format!("'{word}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_the_parser_turned_into_a_time_is_found() {
        let statement = "SELECT 1 WHERE at < ' Today'::date";
        assert_eq!(time_text(statement, "(t.at < '2026-11-23'::date)").as_deref(), Some("'today'"));
        assert_eq!(time_text("SELECT 1 WHERE s = 'now'", "(t.s = 'now'::text)"), None);
        assert_eq!(time_text("SELECT 1 WHERE s IN ('a', 'now')", "(t.s = ANY ('{a,now}'::text[]))"), None);
        assert_eq!(time_text("SELECT 1 WHERE at < 'now'", "(t.now = 'x')").as_deref(), Some("'now'"));
        assert_eq!(time_text("SELECT 1 WHERE s = 'nowhere'", "true"), None);
        for (plan, found) in [
            ("t.id, ('now'::cstring)::timestamp with time zone", Some("'now'")),
            ("(t.at < ('now'::text)::timestamp with time zone)", Some("'now'")),
            ("(t.day = (' Today'::text)::date)", Some("'today'")),
            ("(t.s = 'now'::text), ('2026-11-23'::text)::date", None),
            ("(('nowhere'::text)::date), ('now'::text)::character varying", None),
        ] {
            assert_eq!(late_time_text(plan).as_deref(), found, "{plan}");
        }
    }
}
