//! The layer: requests carry their `Blocking`.

use std::task::{Context, Poll};

use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::blocking::Blocking;

/// A service whose requests carry a [`Blocking`] in their extensions; `Blocking` as a layer makes it.
///
/// It begins no request of Dockline itself: one begins with each section, on the thread where it runs. A section that runs
/// inside has all that a request has.
#[derive(Debug, Clone)]
pub struct WithBlocking<S> {
    inner: S,
    blocking: Blocking,
}

impl<S> Layer<S> for Blocking {
    type Service = WithBlocking<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithBlocking { inner, blocking: self.clone() }
    }
}

impl<S, B> Service<Request<B>> for WithBlocking<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.blocking.clone());
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use dockline::{Connections, Databases, Settings};
    use tower::{ServiceExt, service_fn};

    use super::*;

    #[tokio::test]
    async fn requests_carry_it() {
        let databases = Databases::new().with("default", Settings::from_url("sqlite::memory:").unwrap());
        let connections = Connections::new(databases).unwrap();
        let inner = service_fn(async |request: Request<()>| {
            let blocking = request.extensions().get::<Blocking>().unwrap().clone();
            let registry = blocking.registry().clone();
            let one = blocking.request(move || registry.get("default")?.query_value::<i64>("SELECT 1", ()));
            Ok::<_, Infallible>(one.await.unwrap())
        });
        let service = Blocking::new(&connections).layer(inner);
        assert_eq!(service.oneshot(Request::new(())).await.unwrap(), 1);
    }
}
