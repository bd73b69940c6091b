//! The front of the API server: sockets and the in-process entry, both leading into the same filters.
//!
//! ```text
//! TLS socket --listen--> [panic, request info, authn, impersonation, authz] --> engine | kubelet | well-known paths
//! component  --call-----------------------^ with its own identity
//! ```

pub mod body;
mod connections;
pub mod gzip;
pub mod listen;
pub mod respond;
pub mod websocket;

use std::sync::Arc;

use api::Status;
use bytes::Bytes;
use pki::{Identity, TokenKey};
use rustls::pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

pub use body::Body;

use crate::Engine;
use crate::connect::Kubelets;
use crate::filters::authn::Authenticator;
use crate::filters::{self, Credentials, Incoming};
use crate::http::body::Payload;
use crate::rbac::{Rbac, bootstrap};
use crate::seams::Seams;
use crate::tokens::ServiceAccountTokens;
use crate::user::User;
use crate::wellknown::WellKnown;

/// What the front needs besides an engine.
pub struct ServerConfig {
    /// Signs the certificates of clients and kubelets.
    pub authority: CertificateDer<'static>,
    pub token_key: Arc<TokenKey>,
    /// `iss` and the default audience of ServiceAccount tokens.
    pub issuer: String,
    /// Bearer tokens that are good as long as the process lives.
    pub static_tokens: Vec<(String, User)>,
    /// Requests without credentials are let in as `system:anonymous`; they are unauthorized otherwise.
    pub anonymous: bool,
    /// How the API server shows itself to kubelets; without it, logs and exec are not served.
    pub kubelet_client: Option<Arc<Identity>>,
}

impl ServerConfig {
    pub const ISSUER: &'static str = "https://kubernetes.default.svc.cluster.local";

    pub fn new(authority: CertificateDer<'static>, token_key: Arc<TokenKey>) -> Self {
        Self {
            authority,
            token_key,
            issuer: Self::ISSUER.to_owned(),
            static_tokens: Vec::new(),
            anonymous: true,
            kubelet_client: None,
        }
    }
}

/// An API server, ready to answer. Shared as `Arc<Server>`.
pub struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) authenticator: Authenticator,
    pub(crate) rbac: Arc<Rbac>,
    pub(crate) wellknown: WellKnown,
    pub(crate) kubelets: Kubelets,
    /// Ends watches and other answers without end when the server stops.
    pub(crate) stopping: CancellationToken,
}

impl Server {
    /// Joins the engine with its front and writes the roles that every cluster has.
    pub async fn start(engine: Arc<Engine>, config: ServerConfig) -> Result<Arc<Self>, Status> {
        let rbac = Arc::new(Rbac::new(engine.clone()));
        let tokens =
            Arc::new(ServiceAccountTokens::new(engine.clone(), config.token_key.clone(), config.issuer.clone()));
        engine.connect(Seams { authorizer: rbac.clone(), tokens: tokens.clone() });
        let kubelets = Kubelets::new(&config.authority, config.kubelet_client, engine.clock().clone())
            .map_err(Status::internal)?;
        let server = Arc::new(Self {
            authenticator: Authenticator::new(tokens, config.static_tokens, config.anonymous),
            rbac,
            wellknown: WellKnown::new(config.issuer, &config.token_key),
            kubelets,
            stopping: CancellationToken::new(),
            engine,
        });
        crate::bootstrap::standing(&server.engine).await?;
        bootstrap::write(&server).await?;
        Ok(server)
    }

    /// Answers a request of a component in this process. It passes the same filters as one from a socket; only its
    /// identity is known already.
    pub async fn call(self: &Arc<Self>, request: http::Request<Bytes>, user: User) -> http::Response<Body> {
        let (parts, body) = request.into_parts();
        let incoming = Incoming { parts, payload: Payload::Whole(body), credentials: Credentials::Component(user) };
        filters::answer(self.clone(), incoming).await
    }

    /// The engine behind this front.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Ends every answer that would go on, and makes `/readyz` fail. Sockets close by the token given to
    /// [`Server::serve`].
    pub fn stop(&self) {
        self.stopping.cancel();
    }
}
