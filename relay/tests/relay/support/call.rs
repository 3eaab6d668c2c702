//! A leg over gRPC, as generated code makes it.

use peersox_proto::v1::relay_service_client::RelayServiceClient;
use peersox_proto::v1::{self, AttachRequest, attach_request, attach_response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

/// A call of `Attach`.
pub struct Call {
    /// One message waits here, and what HTTP/2 takes beyond.
    requests: Option<mpsc::Sender<AttachRequest>>,
    responses: tonic::Streaming<v1::AttachResponse>,
    /// How the call ended.
    pub status: Option<tonic::Status>,
}

impl Call {
    pub async fn begin(channel: Channel) -> Result<Self, tonic::Status> {
        let (requests, stream) = mpsc::channel(1);
        let mut client = RelayServiceClient::new(channel);
        let responses = client.attach(ReceiverStream::new(stream)).await?;
        Ok(Self {
            requests: Some(requests),
            responses: responses.into_inner(),
            status: None,
        })
    }

    pub async fn say(&self, kind: attach_request::Kind) {
        let request = AttachRequest { kind: Some(kind) };
        // A relay that hangs up in between is what some tests are about.
        let requests = self.requests.as_ref().expect("the request goes on");
        let _ = requests.send(request).await;
    }

    /// Ends the request.
    pub fn finish(&mut self) {
        self.requests = None;
    }

    /// The next thing that the relay says.
    pub async fn hear(&mut self) -> Option<attach_response::Kind> {
        match self.responses.message().await {
            Ok(Some(response)) => response.kind,
            Ok(None) => {
                self.status = Some(tonic::Status::ok(""));
                None
            }
            Err(status) => {
                self.status = Some(status);
                None
            }
        }
    }
}
