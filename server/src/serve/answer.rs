//! An end for calls whose answer does not come: a database that fell silent says nothing,
//! and its connections would be waited for as long as TCP likes.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::api::error::ApiError;

/// An answer, or a stream's beginning, comes within this: later than the database itself
/// gives a statement up (`store/postgres.rs`), and a connection to it.
pub(super) const ANSWER: Duration = Duration::from_secs(45);

/// Hands on a request and waits for its answer, `within` so long.
pub(super) async fn bound(
    State(within): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    let grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match timeout(within, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) if grpc => Status::from(late()).into_http::<Body>(),
        Err(_) => late().into_response(),
    }
}

fn late() -> ApiError {
    let message = "the database does not answer: what was asked for may have been done; try again \
                   in a moment";
    ApiError::new(Code::Unavailable, "DATABASE_AWAY", message).retry_after(Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state, routing::post};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn who_gets_no_answer_is_told_so() {
        let door = Router::new()
            .route("/never", post(std::future::pending::<()>))
            .route("/soon", post(|| async {}))
            .layer(from_fn_with_state(Duration::from_millis(50), bound));
        for (path, kind, status, grpc) in [
            ("/soon", "application/json", 200, None),
            ("/never", "application/json", 503, None),
            ("/never", "application/grpc", 200, Some("14")),
        ] {
            let request = Request::post(path)
                .header("content-type", kind)
                .body(Body::empty());
            let answer = door.clone().oneshot(request.unwrap()).await.unwrap();
            let said = answer.headers().get("grpc-status");
            let said = said.map(|status| status.to_str().unwrap());
            assert_eq!(
                (answer.status().as_u16(), said),
                (status, grpc),
                "{path} {kind}"
            );
        }
    }
}
