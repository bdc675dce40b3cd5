//! Rules of a repository: exceptions from immutable tags, and permission for downloads.

use engine::{PageRequest, RuleChange, RuleRow};
use model::artifact_name::RuleName;
use model::name::RepositoryName;
use model::repository_rule::{RuleAction, RuleOperation};
use prost_types::FieldMask;
use proto::google::devtools::artifactregistry::v1::rule::{
    Action as ActionMessage, Operation as OperationMessage,
};
use proto::google::devtools::artifactregistry::v1::{
    CreateRuleRequest, DeleteRuleRequest, GetRuleRequest, ListRulesRequest, ListRulesResponse,
    Rule, UpdateRuleRequest,
};
use proto::google::r#type::Expr;
use tonic::{Request, Response, Status};

use super::{
    ApiServices, ListIdentity, ServiceAnswer, admitted, bad_field, failed, names, page_size,
};

pub(super) async fn list(
    services: &ApiServices,
    request: Request<ListRulesRequest>,
) -> ServiceAnswer<ListRulesResponse> {
    let admitted = admitted(&request)?;
    let ListRulesRequest { parent, page_size: wanted, page_token } = request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let list = ListIdentity::new(admitted.caller(), &["rules", &parent]);
    let (start, limit) = (services.page_start(&list, &page_token)?, page_size(wanted, 500)?);
    let page = PageRequest { start, limit };
    let page = services.app.engine.list_rules(&admitted, &repository, page);
    let page = page.await.map_err(failed)?;
    Ok(Response::new(ListRulesResponse {
        rules: page.entries.into_iter().map(|found| rule_message(&repository, found)).collect(),
        next_page_token: services.page_token(&list, page.next.as_deref())?,
    }))
}

pub(super) async fn get(
    services: &ApiServices,
    request: Request<GetRuleRequest>,
) -> ServiceAnswer<Rule> {
    let admitted = admitted(&request)?;
    let name: RuleName = names::parse_existing(&request.into_inner().name)?;
    let found = services.app.engine.find_rule(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(rule_message(&name.repository, found)))
}

pub(super) async fn create(
    services: &ApiServices,
    request: Request<CreateRuleRequest>,
) -> ServiceAnswer<Rule> {
    let admitted = admitted(&request)?;
    let CreateRuleRequest { parent, rule_id, rule } = request.into_inner();
    let repository: RepositoryName = names::parse_existing(&parent)?;
    let id = rule_id.parse().map_err(|problem| bad_field("rule_id", problem))?;
    let name = RuleName { repository, id };
    let change = change(rule.unwrap_or_default(), None)?;
    let created = services.app.engine.create_rule(&admitted, &name, change);
    Ok(Response::new(rule_message(&name.repository, created.await.map_err(failed)?)))
}

pub(super) async fn update(
    services: &ApiServices,
    request: Request<UpdateRuleRequest>,
) -> ServiceAnswer<Rule> {
    let admitted = admitted(&request)?;
    let UpdateRuleRequest { rule, update_mask } = request.into_inner();
    let rule = rule.unwrap_or_default();
    let name: RuleName = names::parse_existing(&rule.name)?;
    let changed =
        services.app.engine.update_rule(&admitted, &name, change(rule, update_mask)?).await;
    Ok(Response::new(rule_message(&name.repository, changed.map_err(failed)?)))
}

pub(super) async fn delete(
    services: &ApiServices,
    request: Request<DeleteRuleRequest>,
) -> ServiceAnswer<()> {
    let admitted = admitted(&request)?;
    let name: RuleName = names::parse_existing(&request.into_inner().name)?;
    services.app.engine.delete_rule(&admitted, &name).await.map_err(failed)?;
    Ok(Response::new(()))
}

fn rule_message(repository: &RepositoryName, found: RuleRow) -> Rule {
    let RuleRow { name, action, operation, package, expression, title, description, location } =
        found;
    let action = match action {
        RuleAction::Allow => ActionMessage::Allow,
        RuleAction::Deny => ActionMessage::Deny,
    };
    let operation = match operation {
        RuleOperation::Download => OperationMessage::Download,
        RuleOperation::TagMutation => OperationMessage::TagMutation,
    };
    let condition = Expr { expression, title, description, location };
    Rule {
        name: format!("{repository}/rules/{name}"),
        action: action as i32,
        operation: operation as i32,
        condition: (condition != Expr::default()).then_some(condition),
        package_id: package,
    }
}

/// The fields that an update may name, including those of the condition.
const MUTABLE: [&str; 8] = [
    "action",
    "operation",
    "package_id",
    "condition",
    "condition.expression",
    "condition.title",
    "condition.description",
    "condition.location",
];

/// Returns the change that an update makes. An absent or empty mask means all fields.
fn change(rule: Rule, mask: Option<FieldMask>) -> Result<RuleChange, Status> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    let known = |path: &&String| path.as_str() == "*" || MUTABLE.contains(&path.as_str());
    if let Some(path) = paths.iter().find(|path| !known(path)) {
        let problem = format!("{path} is not a field of a rule that can be changed");
        return Err(bad_field("update_mask", problem));
    }
    let is_all = paths.is_empty() || paths.iter().any(|path| path == "*");
    let has = |field: &str| {
        let parent = field.split('.').next().unwrap_or_default();
        is_all || paths.iter().any(|path| path == field || path == parent)
    };
    let condition = rule.condition.unwrap_or_default();
    Ok(RuleChange {
        action: has("action").then(|| action(rule.action)).transpose()?,
        operation: has("operation").then(|| operation(rule.operation)).transpose()?,
        package: has("package_id").then_some(rule.package_id),
        expression: has("condition.expression").then_some(condition.expression),
        title: has("condition.title").then_some(condition.title),
        description: has("condition.description").then_some(condition.description),
        location: has("condition.location").then_some(condition.location),
    })
}

fn action(value: i32) -> Result<RuleAction, Status> {
    match ActionMessage::try_from(value) {
        Ok(ActionMessage::Allow) => Ok(RuleAction::Allow),
        Ok(ActionMessage::Deny) => Ok(RuleAction::Deny),
        Ok(ActionMessage::Unspecified) | Err(_) => {
            Err(bad_field("rule.action", "is neither ALLOW nor DENY"))
        }
    }
}

/// Returns the operation of a rule. An unspecified operation is a download, the only one that the API had at first.
fn operation(value: i32) -> Result<RuleOperation, Status> {
    match OperationMessage::try_from(value) {
        Ok(OperationMessage::Download | OperationMessage::Unspecified) => {
            Ok(RuleOperation::Download)
        }
        Ok(OperationMessage::TagMutation) => Ok(RuleOperation::TagMutation),
        Err(_) => Err(bad_field("rule.operation", "is neither DOWNLOAD nor TAG_MUTATION")),
    }
}
