//! `TokenService`: API tokens of instructors and admins.

use clarateach_domain::text;
use clarateach_proto::workshop::{self as pb, token_service_server::TokenService};
use tonic::{Request, Response, Status};
use tracing::info;

use super::{
    Api,
    auth::{self, Deed, may},
    error::ApiError,
    headers, now, wire, wish,
};
use crate::store::{
    principals::{Principal, TokenWish},
    requests::RequestKey,
};

const MAX_LABEL: usize = 100;

impl Api {
    async fn create_api_token(
        &self,
        who: &Principal,
        ask: &pb::CreateTokenRequest,
    ) -> Result<pb::CreateTokenResponse, ApiError> {
        let name = text::line(&ask.principal, MAX_LABEL)
            .map_err(|fault| ApiError::field("principal", fault.to_string()))?;
        let label = text::optional_line(&ask.label, MAX_LABEL)
            .map_err(|fault| ApiError::field("label", fault.to_string()))?;
        let role = wish::role(ask.role)?;
        let request_id = wish::request_id(&ask.request_id)
            .map_err(|fault| ApiError::field("request_id", fault))?;
        let owner = self.store.principal_named(&name).await?;
        // New principals and other people's tokens are an admin's to make, and
        // whether the other one exists is nobody else's business.
        let deed = owner
            .as_ref()
            .map_or(Deed::Everything, |owner| Deed::Tokens(&owner.id));
        Self::allow(who, deed)?;
        if owner.is_none() && role.is_none() {
            return Err(ApiError::field(
                "role",
                "must be admin or instructor: the principal is new",
            ));
        }
        let body = format!("{name}\0{label}\0{}", ask.role);
        let key = RequestKey::new(&who.id, "create token", &request_id, body.as_bytes());
        let wish = TokenWish {
            principal: &name,
            role,
            label: &label,
        };
        let made = self.store.make_token(&who.id, wish, &key, now()).await;
        let (token, made) = made?;
        info!(token = %made.id, principal = %name, by = %who.name, "api token made");
        Ok(pb::CreateTokenResponse {
            token,
            api_token: Some(wire::api_token(&made)),
        })
    }

    async fn revoke_api_token(&self, who: &Principal, id: &str) -> Result<pb::ApiToken, ApiError> {
        let unknown = || {
            ApiError::new(
                tonic::Code::NotFound,
                "TOKEN_UNKNOWN",
                "there is no such token",
            )
        };
        self.store
            .token(id)
            .await?
            .filter(|token| may(who, Deed::Tokens(&token.principal.id)))
            .ok_or_else(unknown)?;
        self.store.revoke_token(&who.id, id, now()).await?;
        info!(token = %id, by = %who.name, "api token revoked");
        let token = self.store.token(id).await?.ok_or_else(unknown)?;
        Ok(wire::api_token(&token))
    }
}

#[tonic::async_trait]
impl TokenService for Api {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        let who = auth::principal(&self.store, headers(&request)).await?;
        let made = self.create_api_token(&who, request.get_ref()).await?;
        Ok(Response::new(made))
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        let who = auth::principal(&self.store, headers(&request)).await?;
        let everybody = may(&who, Deed::Everything);
        let of = (!everybody).then_some(who.id.as_str());
        let tokens = self.store.tokens(of).await.map_err(ApiError::from)?;
        Ok(Response::new(pb::ListTokensResponse {
            tokens: tokens.iter().map(wire::api_token).collect(),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<pb::RevokeTokenRequest>,
    ) -> Result<Response<pb::ApiToken>, Status> {
        let who = auth::principal(&self.store, headers(&request)).await?;
        let token = self.revoke_api_token(&who, &request.get_ref().id).await?;
        Ok(Response::new(token))
    }
}
