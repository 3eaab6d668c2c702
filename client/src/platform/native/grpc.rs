//! Calls of a native program: HTTP/2 first, gRPC-Web over HTTP/1.1 where HTTP/2 does not pass.
//!
//! ```text
//! connect ── GetConfig by HTTP/2 ─┬─ answered ────────────────────────────────► HTTP/2 from now on
//!                                 ├─ no connection ───────────────────────────► failed: nothing else passes
//!                                 └─ protocol error, page of a proxy, silence
//!                                       └─ GetConfig by gRPC-Web ─┬─ answered ► gRPC-Web from now on
//!                                                                 └─ failed ──► failed, with both reasons
//! ```
//!
//! A proxy may forward a call and break its answer. So the question which protocol passes is settled
//! with a call that may be repeated, not with one that redeems a code. A call whose HTTP/2 breaks later,
//! after a change of networks for instance, settles it again.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, TryFutureExt as _};
use http::uri::PathAndQuery;
use http::{Extensions, HeaderValue, Uri, header};
use peersox_core::trace::TraceContext;
use peersox_proto::v1::GetConfigRequest;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use url::Url;

use super::dial::{Connector, DialError, Dialer, Speak, deepest};
use super::{Http, timeout};
use crate::AGENT;
use crate::rpc::{Code, Details, Messages, Method, Status, UNARY_TIMEOUT, Web, grpc_web, path};

/// The calls of one server. Cheap to clone; clones share connections and what was settled.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    http2: Grpc<Judged>,
    web: Web,
    /// Whether gRPC-Web passes where HTTP/2 does not.
    by_web: Arc<AtomicBool>,
}

impl Calls {
    /// Connects to the server at an `http` or `https` address and settles how to call it.
    ///
    /// # Errors
    /// Why the server does not answer.
    pub(crate) async fn connect(dialer: &Dialer, url: &Url) -> Result<Self, Status> {
        let invalid = |_| Status::new(Code::InvalidArgument, "the address is not a URI");
        let origin: Uri = url
            .as_str()
            .trim_end_matches('/')
            .parse()
            .map_err(invalid)?;
        // The connector does TLS, and decides by its own address whether to.
        let authority = origin.authority().map_or("", |it| it.as_str());
        let channel = Endpoint::from_shared(format!("http://{authority}"))
            .map_err(|error| Status::unavailable(error.to_string()))?
            .user_agent(AGENT)
            .map_err(|error| Status::unavailable(error.to_string()))?
            .origin(origin.clone())
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .connect_with_connector_lazy(Connector {
                dialer: dialer.clone(),
                url: url.clone(),
                speak: Speak::Http2,
            });
        let http = Http::new(dialer.clone(), url.clone());
        let this = Self {
            http2: Grpc::with_origin(Judged(channel), origin),
            web: Web::new(http, url.as_str()),
            by_web: Arc::default(),
        };
        this.settle().await?;
        Ok(this)
    }

    /// Says with each call which trace it belongs to.
    pub(crate) fn in_trace(&mut self, trace: &TraceContext) {
        self.web.in_trace(trace);
    }

    /// Calls a method that answers one message, within [`UNARY_TIMEOUT`] per attempt.
    ///
    /// # Errors
    /// The status of the server, or of the way to it.
    pub(crate) async fn unary<M: Method>(&self, request: M) -> Result<M::Response, Status> {
        self.unary_as(request, None).await
    }

    /// The same by somebody who shows this in `authorization`.
    ///
    /// # Errors
    /// As [`Calls::unary`].
    pub(crate) async fn unary_as<M: Method>(
        &self,
        request: M,
        who: Option<&HeaderValue>,
    ) -> Result<M::Response, Status> {
        if self.by_web.load(Ordering::Relaxed) {
            return self.web.unary_as(request, who).await;
        }
        let failure = match self.unary_http2(request.clone(), who).await {
            Ok(response) => return Ok(response),
            Err(failure) => failure,
        };
        match self.settle_again::<M>(failure).await? {
            true => self.web.unary_as(request, who).await,
            false => {
                let again = self.unary_http2(request, who).await;
                again.map_err(|it| it.status)
            }
        }
    }

    /// Calls a method that streams.
    ///
    /// # Errors
    /// The status of the server, or of the way to it.
    pub(crate) async fn stream<M: Method>(
        &self,
        request: M,
    ) -> Result<Messages<M::Response>, Status> {
        if self.by_web.load(Ordering::Relaxed) {
            return self.web.stream(request).await;
        }
        let failure = match self.stream_http2(request.clone()).await {
            Ok(messages) => return Ok(messages),
            Err(failure) => failure,
        };
        match self.settle_again::<M>(failure).await? {
            true => self.web.stream(request).await,
            false => self.stream_http2(request).await.map_err(|it| it.status),
        }
    }

    /// Asks once more which protocol passes, after a call failed. Gives whether to repeat the call by
    /// gRPC-Web.
    ///
    /// # Errors
    /// The call's own status, if no other way would mend it or it must not be repeated; else why the
    /// server does not answer.
    async fn settle_again<M: Method>(&self, failure: Failure) -> Result<bool, Status> {
        if !failure.is_mendable {
            return Err(failure.status);
        }
        self.settle().await?;
        if !M::REPEATABLE {
            return Err(failure.status);
        }
        Ok(self.by_web.load(Ordering::Relaxed))
    }

    async fn settle(&self) -> Result<(), Status> {
        let by_web = self.find().await?;
        self.by_web.store(by_web, Ordering::Relaxed);
        tracing::debug!(by_web, "the server answers");
        Ok(())
    }

    /// Whether gRPC-Web is what passes.
    async fn find(&self) -> Result<bool, Status> {
        let http2 = self.unary_http2(GetConfigRequest {}, None);
        let web = self.web.unary(GetConfigRequest {});
        tokio::pin!(http2, web);
        let broken = match timeout(HEAD_START, &mut http2).await {
            Some(Ok(_)) => return Ok(false),
            Some(Err(failure)) if !failure.is_mendable => return Err(failure.status),
            Some(Err(failure)) => failure.status,
            // Something takes HTTP/2 and does not answer; or the network is slow.
            None => tokio::select! {
                answer = &mut http2 => match answer {
                    Ok(_) => return Ok(false),
                    Err(failure) if !failure.is_mendable => return Err(failure.status),
                    Err(failure) => failure.status,
                },
                answer = &mut web => match answer {
                    Ok(_) => return Ok(true),
                    Err(status) => return match http2.await {
                        Ok(_) => Ok(false),
                        Err(failure) => Err(neither(&failure.status, status)),
                    },
                },
            },
        };
        match web.await {
            Ok(_) => Ok(true),
            Err(status) => Err(neither(&broken, status)),
        }
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let metadata = MetadataMap::from_headers(self.web.trace().clone());
        tonic::Request::from_parts(metadata, Extensions::default(), message)
    }

    async fn unary_http2<M: Method>(
        &self,
        request: M,
        who: Option<&HeaderValue>,
    ) -> Result<M::Response, Failure> {
        let mut grpc = self.http2.clone();
        let mut request = self.request(request);
        if let Some(who) = who {
            let fields = request.metadata_mut().as_mut();
            fields.insert(header::AUTHORIZATION, who.clone());
        }
        request.set_timeout(UNARY_TIMEOUT);
        let call = async {
            grpc.ready().await.map_err(|error| Failure::of(&*error))?;
            let call = grpc.unary(request, path_of::<M>(), ProstCodec::default());
            let reply = call.map_err(|status| Failure::of_status(&status)).await?;
            Ok(reply.into_inner())
        };
        let late = || Failure {
            status: Status::late(UNARY_TIMEOUT),
            is_mendable: false,
        };
        timeout(UNARY_TIMEOUT, call)
            .await
            .unwrap_or_else(|| Err(late()))
    }

    async fn stream_http2<M: Method>(&self, request: M) -> Result<Messages<M::Response>, Failure> {
        let mut grpc = self.http2.clone();
        grpc.ready().await.map_err(|error| Failure::of(&*error))?;
        let request = self.request(request);
        let call = grpc.server_streaming(request, path_of::<M>(), ProstCodec::default());
        let reply = call.map_err(|status| Failure::of_status(&status)).await?;
        let messages = reply.into_inner();
        Ok(Box::pin(messages.map(|message| {
            message.map_err(|status| Failure::of_status(&status).status)
        })))
    }
}

fn path_of<M: Method>() -> PathAndQuery {
    let path = PathAndQuery::try_from(path::<M>());
    path.expect("the names of methods are letters")
}

/// What to say when neither protocol passes. What came over HTTP/1.1 says more: any server and any
/// proxy answers there, if only with a page.
fn neither(http2: &Status, web: Status) -> Status {
    if web.code != Code::Unavailable || web.details.by_stranger {
        return web;
    }
    Status::unavailable(format!(
        "neither HTTP/2 ({}) nor gRPC-Web over HTTP/1.1 ({}) passes",
        http2.message, web.message
    ))
}

/// A call by HTTP/2 that failed.
struct Failure {
    status: Status,
    /// Whether the same call may pass by gRPC-Web.
    is_mendable: bool,
}

impl Failure {
    fn of_status(status: &tonic::Status) -> Self {
        if let Some(source) = status.source() {
            return Self::of(source);
        }
        let code = Code::from_number(i32::from(status.code()));
        let details = Details::decode(status.details());
        let message = status.message().to_owned();
        Self {
            // Made up here, where no answer of the server could be read.
            is_mendable: code == Code::Internal && details == Details::default(),
            status: Status {
                code,
                message,
                details,
            },
        }
    }

    /// A call that was lost on the way.
    fn of(error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(dialing) = error.downcast_ref::<DialError>() {
                return Self {
                    status: Status::unavailable(dialing.to_string()),
                    is_mendable: matches!(dialing, DialError::NotHttp2),
                };
            }
            if let Some(NotGrpc(status)) = error.downcast_ref() {
                return Self {
                    status: status.clone(),
                    is_mendable: true,
                };
            }
            cause = error.source();
        }
        Self {
            status: Status::unavailable(deepest(error)),
            is_mendable: true,
        }
    }
}

/// A channel whose answers are known to be gRPC: tonic reads a page of a proxy as if it were messages.
#[derive(Clone, Debug)]
struct Judged(Channel);

impl tower::Service<http::Request<Body>> for Judged {
    type Response = http::Response<Body>;
    type Error = tonic::codegen::StdError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            match grpc_web::judge(answer.status(), answer.headers(), "application/grpc") {
                // tonic reads the status itself.
                Ok(_) => Ok(answer),
                Err(status) if !status.details.by_stranger => Ok(answer),
                Err(status) => Err(NotGrpc(status).into()),
            }
        })
    }
}

/// Something else than the server answered.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
struct NotGrpc(Status);

/// How long HTTP/2 is tried alone.
const HEAD_START: Duration = Duration::from_secs(2);
