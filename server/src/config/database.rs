//! The URL of a PostgreSQL database, without a secret: command lines are read by everybody.

use std::ffi::OsStr;

use clap::{Arg, Command, builder::TypedValueParser, error::ErrorKind};

/// Parses one. Unlike a plain function it never repeats what it refuses, which may hold a
/// password.
#[derive(Debug, Clone, Copy)]
pub(super) struct Url;

impl TypedValueParser for Url {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        _argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let text = value.to_str().unwrap_or_default();
        checked(text).map_err(|words| {
            let words = format!("--database: {words}");
            command.clone().error(ErrorKind::ValueValidation, words)
        })
    }
}

fn checked(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "write postgres://USER@HOST/NAME";
    let rest = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
        .ok_or(FORM)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (server, name) = place.split_once('/').ok_or(FORM)?;
    if name.is_empty() {
        return Err(FORM);
    }
    let user = server.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') || query.split('&').any(|part| part.starts_with("password=")) {
        return Err(
            "a password in a URL is read by everybody: put it into a file as \
             HOST:PORT:NAME:USER:PASSWORD (mode 0600) and name that with PGPASSFILE",
        );
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::config::Cli;

    #[test]
    fn a_database_is_postgresql_and_its_password_is_nobodys_business() {
        for (text, good) in [
            ("postgres://clara@db.example/classes", true),
            (
                "postgresql://db.example:5433/classes?sslmode=verify-full",
                true,
            ),
            (
                "postgres://clara@localhost/classes?host=/run/postgresql",
                true,
            ),
            ("postgres://clara:secret@db.example/classes", false),
            ("postgres://clara:secret@db.example", false),
            ("clara:secret@db.example/classes", false),
            (
                "postgres://clara@db.example/classes?a=b&password=secret",
                false,
            ),
            ("postgres://db.example", false),
            ("mysql://db.example/classes", false),
            ("/var/lib/classes.db", false),
            ("", false),
        ] {
            let line = ["clarateach-server", "serve", "--database", text];
            let said = Cli::try_parse_from(line).map_err(|refused| refused.to_string());
            assert_eq!(said.is_ok(), good, "{text}");
            let Err(words) = said else { continue };
            // The whole of what a person is shown.
            assert!(words.contains("--database: "), "{words}");
            assert!(!words.contains("secret"), "{words}");
        }
    }
}
