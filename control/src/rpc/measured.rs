//! `peersox.v1.PairingService`, whose calls are counted.

use peersox_proto::v1;
use peersox_proto::v1::pairing_service_server::PairingService;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

use crate::metrics::{Method, Metrics};

/// The service, and where its calls are counted. What is turned away before it is a call of the service, such
/// as a page of a foreign origin, is not.
pub(crate) struct Measured<P> {
    pub(crate) service: P,
    pub(crate) metrics: Metrics,
}

impl<P> Measured<P> {
    async fn count<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<Response<T>, Status>> + Send,
    ) -> Result<Response<T>, Status> {
        let mut running = Running {
            metrics: &self.metrics,
            method,
            began: Instant::now(),
            code: Code::Cancelled,
        };
        let done = call.await;
        running.code = done.as_ref().map_or_else(Status::code, |_| Code::Ok);
        done
    }
}

/// A call that is counted when it ends, or when nobody waits for its end any more.
struct Running<'a> {
    metrics: &'a Metrics,
    method: Method,
    began: Instant,
    code: Code,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.metrics
            .called(self.method, self.code, self.began.elapsed());
    }
}

#[tonic::async_trait]
impl<P: PairingService> PairingService for Measured<P> {
    type WatchPairingStream = P::WatchPairingStream;

    async fn get_config(
        &self,
        request: Request<v1::GetConfigRequest>,
    ) -> Result<Response<v1::GetConfigResponse>, Status> {
        let call = self.service.get_config(request);
        self.count(Method::GetConfig, call).await
    }

    async fn create_pairing(
        &self,
        request: Request<v1::CreatePairingRequest>,
    ) -> Result<Response<v1::CreatePairingResponse>, Status> {
        let call = self.service.create_pairing(request);
        self.count(Method::CreatePairing, call).await
    }

    async fn join_pairing(
        &self,
        request: Request<v1::JoinPairingRequest>,
    ) -> Result<Response<v1::JoinPairingResponse>, Status> {
        let call = self.service.join_pairing(request);
        self.count(Method::JoinPairing, call).await
    }

    async fn get_pairing(
        &self,
        request: Request<v1::GetPairingRequest>,
    ) -> Result<Response<v1::GetPairingResponse>, Status> {
        let call = self.service.get_pairing(request);
        self.count(Method::GetPairing, call).await
    }

    async fn watch_pairing(
        &self,
        request: Request<v1::WatchPairingRequest>,
    ) -> Result<Response<Self::WatchPairingStream>, Status> {
        let call = self.service.watch_pairing(request);
        self.count(Method::WatchPairing, call).await
    }

    async fn open_session(
        &self,
        request: Request<v1::OpenSessionRequest>,
    ) -> Result<Response<v1::OpenSessionResponse>, Status> {
        let call = self.service.open_session(request);
        self.count(Method::OpenSession, call).await
    }

    async fn confirm_join(
        &self,
        request: Request<v1::ConfirmJoinRequest>,
    ) -> Result<Response<v1::ConfirmJoinResponse>, Status> {
        let call = self.service.confirm_join(request);
        self.count(Method::ConfirmJoin, call).await
    }

    async fn delete_pairing(
        &self,
        request: Request<v1::DeletePairingRequest>,
    ) -> Result<Response<v1::DeletePairingResponse>, Status> {
        let call = self.service.delete_pairing(request);
        self.count(Method::DeletePairing, call).await
    }
}
