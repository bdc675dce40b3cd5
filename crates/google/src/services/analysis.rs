//! Container Analysis: as much as gcloud asks to show images with what is known of them, which is nothing.

use proto::google::devtools::containeranalysis::v1::container_analysis_server::ContainerAnalysis;
use proto::google::devtools::containeranalysis::v1::{
    GetVulnerabilityOccurrencesSummaryRequest, VulnerabilityOccurrencesSummary,
};
use proto::grafeas::v1::grafeas_server::Grafeas;
use proto::grafeas::v1::{ListOccurrencesRequest, ListOccurrencesResponse};
use tonic::{Request, Response};

use super::{Answer, Services};

#[tonic::async_trait]
impl Grafeas for Services {
    async fn list_occurrences(
        &self,
        _: Request<ListOccurrencesRequest>,
    ) -> Answer<ListOccurrencesResponse> {
        Ok(Response::new(ListOccurrencesResponse {}))
    }
}

#[tonic::async_trait]
impl ContainerAnalysis for Services {
    async fn get_vulnerability_occurrences_summary(
        &self,
        _: Request<GetVulnerabilityOccurrencesSummaryRequest>,
    ) -> Answer<VulnerabilityOccurrencesSummary> {
        Ok(Response::new(VulnerabilityOccurrencesSummary {}))
    }
}
