//! Container Analysis: the methods that gcloud calls when it shows images. This registry has no analyses, so all
//! answers are empty.

use proto::google::devtools::containeranalysis::v1::container_analysis_server::ContainerAnalysis;
use proto::google::devtools::containeranalysis::v1::{
    GetVulnerabilityOccurrencesSummaryRequest, VulnerabilityOccurrencesSummary,
};
use proto::grafeas::v1::grafeas_server::Grafeas;
use proto::grafeas::v1::{ListOccurrencesRequest, ListOccurrencesResponse};
use tonic::{Request, Response};

use super::{ApiServices, ServiceAnswer};

#[tonic::async_trait]
impl Grafeas for ApiServices {
    async fn list_occurrences(
        &self,
        _: Request<ListOccurrencesRequest>,
    ) -> ServiceAnswer<ListOccurrencesResponse> {
        Ok(Response::new(ListOccurrencesResponse {}))
    }
}

#[tonic::async_trait]
impl ContainerAnalysis for ApiServices {
    async fn get_vulnerability_occurrences_summary(
        &self,
        _: Request<GetVulnerabilityOccurrencesSummaryRequest>,
    ) -> ServiceAnswer<VulnerabilityOccurrencesSummary> {
        Ok(Response::new(VulnerabilityOccurrencesSummary {}))
    }
}
