//! API tokens: made and shown once, listed without their texts, ended.

use std::time::SystemTime;

use clarateach_proto::{
    json::word,
    workshop::{ApiToken, CreateTokenRequest, ListTokensRequest, RevokeTokenRequest, Role},
};
use serde_json::{Value, json};

use crate::{
    asking::fresh_id,
    config::{Format, RoleName, Server, TokenVerb},
    failure::Failure,
    login,
    output::{ago, list, plain, pretty, print, tell},
};

const NARROW: [&str; 5] = ["ID", "PRINCIPAL", "ROLE", "LABEL", "MADE"];
const WIDE: [&str; 1] = ["REVOKED"];

pub(crate) async fn run(at: &Server, verb: TokenVerb) -> Result<(), Failure> {
    let server = login::server(at)?;
    let mut tokens = server.tokens(&login::token(at, &server)?)?;
    match verb {
        TokenVerb::Create {
            principal,
            role,
            label,
            show,
        } => {
            let role = match role {
                None => Role::Unspecified,
                Some(RoleName::Admin) => Role::Admin,
                Some(RoleName::Instructor) => Role::Instructor,
            };
            let request = CreateTokenRequest {
                principal,
                role: role.into(),
                label,
                request_id: fresh_id(),
            };
            let made = tokens
                .create_token(request)
                .await
                .map_err(|status| Failure::status("could not make the token", &status))?
                .into_inner();
            let about = made.api_token.unwrap_or_default();
            if show.output == Format::Json {
                let mut all = as_json(&about);
                all["token"] = made.token.into();
                return print(&pretty(&all));
            }
            tell(&format!(
                "Token {} of {}, shown this once:",
                about.id,
                plain(&about.principal)
            ));
            print(&made.token)
        }
        TokenVerb::List { show } => {
            let all = tokens
                .list_tokens(ListTokensRequest {})
                .await
                .map_err(|status| Failure::status("could not list the tokens", &status))?
                .into_inner()
                .tokens;
            let now = SystemTime::now();
            let rows: Vec<Vec<String>> = all.iter().map(|token| row(token, now)).collect();
            list(
                show,
                &NARROW,
                &WIDE,
                &rows,
                || json!({ "tokens": all.iter().map(as_json).collect::<Vec<_>>() }),
            )
        }
        TokenVerb::Revoke { tokens: ids } => {
            for id in ids {
                let request = RevokeTokenRequest { id: id.clone() };
                let ended = tokens.revoke_token(request).await.map_err(|status| {
                    Failure::status(format!("could not revoke {id}"), &status)
                        .hint("See clarateach token list.")
                })?;
                let principal = plain(&ended.get_ref().principal);
                tell(&format!("{id} of {principal} is revoked"));
            }
            Ok(())
        }
    }
}

fn role(token: &ApiToken) -> String {
    word(token.role().as_str_name(), "ROLE_")
}

fn row(token: &ApiToken, now: SystemTime) -> Vec<String> {
    vec![
        token.id.clone(),
        plain(&token.principal),
        role(token),
        plain(&token.label),
        ago(token.created_at.as_ref(), now),
        ago(token.revoked_at.as_ref(), now),
    ]
}

fn as_json(token: &ApiToken) -> Value {
    json!({
        "id": token.id,
        "principal": token.principal,
        "role": role(token),
        "label": token.label,
        "created_at": token.created_at.as_ref().map(ToString::to_string),
        "revoked_at": token.revoked_at.as_ref().map(ToString::to_string),
    })
}
