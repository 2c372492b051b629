//! Tests of the command line parser.

use clap::{CommandFactory, error::ErrorKind};
use serde_json::json;

use super::*;

fn export(args: &[&str]) -> ExportOptions {
    let all = ["sluice", "export", "flights"].iter().chain(args);
    match Cli::try_parse_from(all).unwrap().command {
        Command::Export(options) => *options,
        other => panic!("{other:?}"),
    }
}

fn refused(args: &[&str]) -> ErrorKind {
    Cli::try_parse_from(["sluice"].iter().chain(args)).unwrap_err().kind()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_data_dir_is_accepted_before_and_after_the_command() {
    for args in [["sluice", "--data-dir", "d", "up"], ["sluice", "up", "--data-dir", "d"]] {
        assert_eq!(Cli::try_parse_from(args).unwrap().files.data_dir, Some("d".into()));
    }
}

#[test]
fn export_options_are_parsed_as_json_where_they_are_json() {
    let options = export(&["--filter", r#"{"origin":{"eq":"SEA"}}"#, "--columns", "date,delay", "-o", "sea.csv"]);
    assert_eq!(options.request.filter, Some(json!({"origin": {"eq": "SEA"}})));
    assert_eq!(options.request.columns, Some(vec!["date".into(), "delay".into()]));
    assert_eq!((options.access.sub.as_str(), options.access.tenant.as_str()), ("alice", "acme"));
    let options = export(&["--param", r#"muscles=["a","b"]"#, "--param", "name=SEA", "--param", "n=3"]);
    let values: Vec<_> = options.request.param.into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [json!(["a", "b"]), json!("SEA"), json!(3)]);
}

#[test]
fn invalid_arguments_are_refused() {
    assert_eq!(refused(&["export", "flights", "--filter", "{"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["export", "flights", "--params", "[1]"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["export", "flights", "--param", "=1"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["export", "a", "--params", "{}", "--param", "a=1"]), ErrorKind::ArgumentConflict);
    assert_eq!(refused(&["export"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["up", "--port", "70000"]), ErrorKind::ValueValidation);
    assert_eq!(
        refused(&["credits", "grant", "--sub", "a", "--tenant", "b", "--amount", "0"]),
        ErrorKind::ValueValidation
    );
    let adjust = |amount, reason| {
        refused(&["credits", "adjust", "--sub", "a", "--tenant", "b", "--amount", amount, "--reason", reason])
    };
    assert_eq!((adjust("0", "r"), adjust("x", "r")), (ErrorKind::ValueValidation, ErrorKind::ValueValidation));
    assert_eq!(adjust("1", ""), ErrorKind::InvalidValue);
    assert_eq!(
        refused(&["credits", "adjust", "--sub", "a", "--tenant", "b", "--amount", "1"]),
        ErrorKind::MissingRequiredArgument
    );
    assert_eq!(refused(&["up", "--catalog", "c.toml", "--no-catalog"]), ErrorKind::ArgumentConflict);
    assert_eq!(refused(&["keys", "create", "--name", "a"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["keys", "create", "--name", "", "--scope", "export:*"]), ErrorKind::InvalidValue);
    assert_eq!(refused(&["keys", "delete", "x"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["nope"]), ErrorKind::InvalidSubcommand);
    assert_eq!(refused(&["ops", "exports", "--status", "lost"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["ops", "exports", "--limit", "0"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["ops", "exports", "--sub", "alice"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["ops", "cancel", "x"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["ops", "drain", "x", "--timeout", "1s"]), ErrorKind::MissingRequiredArgument);
}

#[test]
fn a_source_is_hidden_from_debug_output() {
    let url = "postgres://app:s3cr3t@localhost/shop";
    for args in
        [&["sluice", "up", url][..], &["sluice", "catalog", "init", url, "--tables", "a,b", "c", "--schema", "s"]]
    {
        let cli = Cli::try_parse_from(args).unwrap();
        assert!(!format!("{cli:?}").contains("s3cr3t"), "{cli:?}");
        match cli.command {
            Command::Up(up) => assert_eq!(up.source.unwrap().expose(), url),
            Command::Catalog(CatalogCommand::Init(init)) => {
                assert_eq!((init.source.expose(), init.tables.len(), init.schema.len()), (url, 3, 1));
                assert_eq!((init.output.to_str(), init.tenant_claim.as_str()), (Some("catalog.toml"), "tenant"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused(&["up", "shop.db", "--catalog", "c.toml"]), ErrorKind::ArgumentConflict);
    assert_eq!(refused(&["catalog", "init"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["catalog", "init", "shop.db", "--update", "--force"]), ErrorKind::ArgumentConflict);
    assert_eq!(refused(&["up", ""]), ErrorKind::ValueValidation);
}

#[test]
fn an_adjustment_may_have_either_sign() {
    for (text, amount) in [("-2", -2), ("+3", 3), ("3", 3)] {
        let args = ["sluice", "credits", "adjust", "--sub", "a", "--tenant", "b", "--amount", text, "--reason", "r"];
        let Command::Credits(CreditsCommand::Adjust(options)) = Cli::try_parse_from(args).unwrap().command else {
            panic!("{text}")
        };
        assert_eq!(options.amount, amount);
    }
}

#[test]
fn a_duration_needs_a_unit_and_has_bounds() {
    assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
    assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
    assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
    for bad in ["", "1", "h", "0s", "1w", "-1h", "367d", "99999999999999999999d", "1é"] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}
