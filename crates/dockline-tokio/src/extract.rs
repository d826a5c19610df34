//! The extractor of axum's handlers.

use std::convert::Infallible;
use std::fmt;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::blocking::Blocking;

/// The answer to a request for which there is no [`Blocking`]: 500, and a line in the log at level error that says what the
/// router lacks.
///
/// Where `Blocking` is (a part of) the router's state, axum's `State<Blocking>` takes it from there, and this cannot happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoBlocking;

impl<S: Sync> FromRequestParts<S> for Blocking {
    type Rejection = NoBlocking;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoBlocking> {
        parts.extensions.get::<Self>().cloned().ok_or(NoBlocking)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Blocking {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned())
    }
}

impl IntoResponse for NoBlocking {
    fn into_response(self) -> Response {
        log::error!(target: "dockline::tokio", "{self}");
        (StatusCode::INTERNAL_SERVER_ERROR, "the service is not set up").into_response()
    }
}

impl fmt::Display for NoBlocking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a handler takes a dockline_tokio::Blocking, and the router has none for it: add \
             .layer(Blocking::new(&connections)) after its route",
        )
    }
}

impl std::error::Error for NoBlocking {}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::extract::{FromRef, State};
    use axum::http::Request;
    use axum::routing::get;
    use dockline::{Connections, Databases, Settings};
    use tower::ServiceExt;

    use super::*;

    fn connections() -> Connections {
        let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:").unwrap());
        Connections::new(databases).unwrap()
    }

    async fn one(blocking: Blocking) -> String {
        let registry = blocking.registry().clone();
        let one = blocking.request(move || registry.get("default")?.query_value::<i64>("SELECT 1", ()));
        one.await.unwrap().to_string()
    }

    async fn answer(router: Router) -> (StatusCode, String) {
        let response = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn handlers_take_it_from_the_layer() {
        let router = Router::new().route("/", get(one)).layer(Blocking::new(&connections()));
        assert_eq!(answer(router).await, (StatusCode::OK, "1".to_owned()));
    }

    #[tokio::test]
    async fn handlers_take_it_from_the_state() {
        #[derive(Clone)]
        struct App {
            blocking: Blocking,
        }
        impl FromRef<App> for Blocking {
            fn from_ref(app: &App) -> Self {
                app.blocking.clone()
            }
        }
        let handler = async |State(blocking): State<Blocking>| one(blocking).await;
        let router = Router::new().route("/", get(handler)).with_state(App { blocking: Blocking::new(&connections()) });
        assert_eq!(answer(router).await, (StatusCode::OK, "1".to_owned()));
    }

    #[tokio::test]
    async fn without_the_layer_the_answer_is_500() {
        let (status, body) = answer(Router::new().route("/", get(one))).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(body, "the service is not set up");
        assert!(NoBlocking.to_string().contains(".layer("));
        let optional = async |blocking: Option<Blocking>| blocking.is_none().to_string();
        assert_eq!(answer(Router::new().route("/", get(optional))).await, (StatusCode::OK, "true".to_owned()));
    }
}
