//! Which control plane, and as whom: what `login` keeps, and what is said instead.
//!
//! Way: flags and variables, or else the login file -> [`server`] and [`token`].
//! A remembered token and certificate belong to one address and go to no other.

use std::{
    fs, io,
    io::{BufRead, IsTerminal, Read},
    os::unix::fs::MetadataExt,
};

use clarateach_proto::workshop::ListWorkshopsRequest;
use serde::{Deserialize, Serialize};

use crate::{
    api::ControlPlane,
    config::{LoginArgs, Server},
    failure::{Exit, Failure},
    output::tell,
    places, silence, trust,
};

/// What is asked when nobody says anything.
const HERE: &str = "http://127.0.0.1:8080";
/// Longer text is no token.
const LONGEST: u64 = 4096;

/// One remembered control plane. It holds a secret, so it never prints itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) url: String,
    /// PEM.
    #[serde(default)]
    ca: Option<String>,
    token: String,
}

/// The control plane that is meant.
pub(crate) fn server(at: &Server) -> Result<ControlPlane, Failure> {
    let kept = Login::load()?;
    let url = match (&at.url, &kept) {
        (Some(url), _) => url.as_str(),
        (None, Some(kept)) => &kept.url,
        (None, None) => HERE,
    };
    let mut server = ControlPlane::parse(url, at.ca.clone())?;
    if let Some(kept) = kept
        && at.ca.is_none()
        && kept.url == server.url
    {
        server.pin = kept.ca;
    }
    Ok(server)
}

/// The API token for it. Never from an argument: those are seen by everybody on
/// the machine.
pub(crate) fn token(at: &Server, server: &ControlPlane) -> Result<String, Failure> {
    if let Some(file) = &at.token_file {
        return fs::read_to_string(file)
            .map(|text| text.trim().to_owned())
            .map_err(|error| {
                Failure::new(Exit::Refused, format!("could not read {}", file.display()))
                    .because(error)
            });
    }
    let (why, kept) = match Login::load()? {
        Some(kept) if kept.url == server.url => return Ok(kept.token),
        Some(kept) => (format!("the remembered token is for {}", kept.url), true),
        None => ("this needs an API token".to_owned(), false),
    };
    let failure = Failure::new(Exit::Refused, why);
    Err(if kept {
        failure.hint(format!(
            "Sign in there: clarateach login --server {}",
            server.url
        ))
    } else {
        failure.hint(
            "Sign in with clarateach login, or name a file with --token-file or \
             CLARATEACH_TOKEN_FILE; the server writes the admin's to DATA_DIR/admin.token.",
        )
    })
}

/// Asks for a token, tries it, and keeps it with the address.
pub(crate) async fn run(at: &Server, args: LoginArgs) -> Result<(), Failure> {
    let mut server = server(at)?;
    if let Some(file) = &server.ca {
        let pem = trust::read_pem(file)?;
        // Refused now, and not at the first call.
        trust::roots_of(&pem)?;
        server.pin = Some(pem);
    }
    let token = match &at.token_file {
        Some(_) => token(at, &server)?,
        None => ask(&server.url)?,
    };
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits {
        return Err(Failure::new(Exit::Usage, "that is no token")
            .hint("A token is one word, as the server or clarateach token create printed it."));
    }
    if !args.no_check {
        let request = ListWorkshopsRequest {
            page_size: 1,
            ..Default::default()
        };
        server
            .workshops(&token)?
            .list_workshops(request)
            .await
            .map_err(|status| {
                Failure::status(format!("could not sign in at {}", server.url), &status)
            })?;
    }
    let login = Login {
        url: server.url,
        ca: server.pin,
        token,
    };
    login.save()?;
    tell(&format!("Signed in at {}.", login.url));
    tell("Next: clarateach workshop list");
    Ok(())
}

/// Forgets.
pub(crate) fn forget() -> Result<(), Failure> {
    let file = places::login()?;
    match fs::remove_file(&file) {
        Ok(()) => tell("Forgotten here; the token lives on until clarateach token revoke."),
        Err(error) if error.kind() == io::ErrorKind::NotFound => tell("Nothing was remembered."),
        Err(error) => {
            return Err(Failure::io(
                format!("could not remove {}", file.display()),
                error,
            ));
        }
    }
    Ok(())
}

/// From a person, unseen; or from a pipe.
fn ask(url: &str) -> Result<String, Failure> {
    let failed = |error| Failure::io("could not read the token", error);
    let stdin = io::stdin();
    let mut text = String::new();
    if stdin.is_terminal() {
        tell(&format!("API token for {url} (not shown):"));
        let quiet = silence::begin().map_err(failed)?;
        stdin
            .lock()
            .take(LONGEST)
            .read_line(&mut text)
            .map_err(failed)?;
        drop(quiet);
    } else {
        stdin
            .lock()
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(failed)?;
    }
    Ok(text.trim().to_owned())
}

impl Login {
    /// What is remembered, if anything is.
    pub(crate) fn load() -> Result<Option<Self>, Failure> {
        // Without a home there is nothing to remember, and nothing to fail on.
        let Ok(file) = places::login() else {
            return Ok(None);
        };
        let failed = |error| Failure::io(format!("could not read {}", file.display()), error);
        let metadata = match fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        if metadata.mode() & 0o077 != 0 {
            return Err(Failure::new(
                Exit::Refused,
                format!("{} can be read by others", file.display()),
            )
            .hint(
                "Anybody may hold your token now: revoke it, remove the file, and sign in again.",
            ));
        }
        let text = fs::read(&file).map_err(failed)?;
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Failure::fault(format!("could not read {}", file.display()), error)
                .hint("clarateach logout removes it.")
        })
    }

    fn save(&self) -> Result<(), Failure> {
        let file = places::login()?;
        let failed = |error| Failure::io(format!("could not write {}", file.display()), error);
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        places::keep(&file, &text).map_err(failed)
    }
}
