//! The in-process way to the API server: no socket, the same filters, the component's own identity.

use std::sync::Arc;

use apiserver::Server;
use apiserver::user::User;
use async_trait::async_trait;
use bytes::Bytes;
use client::{Body, Transport, TransportError};
use http_body_util::BodyExt;

pub struct Local {
    server: Arc<Server>,
    user: User,
}

impl Local {
    pub fn transport(server: &Arc<Server>, name: &str, groups: &[&str]) -> Arc<dyn Transport> {
        Arc::new(Self { server: server.clone(), user: User::component(name, groups) })
    }
}

#[async_trait]
impl Transport for Local {
    async fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, TransportError> {
        let answer = self.server.call(request, self.user.clone()).await;
        Ok(answer.map(|body| body.map_err(|error| TransportError::Broken(error.into())).boxed()))
    }
}
