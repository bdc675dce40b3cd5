//! The upstreams of a repository.

use engine::{UpstreamFault, UpstreamOutcome, UpstreamProblemKind};

use super::Texts;

texts! {
    /// The name of the only upstream.
    upstream: "upstream", "上游";
    priority: "Priority", "优先级";
    answer: "Answer", "回答";
    where_from: "Where does an image come from?", "镜像来自哪里？";
    no_upstream_has_it: "No upstream has it.", "没有上游拥有它。";
    upstream_is_silent: "The registry did not answer when it was asked last.", "上次询问时，该注册表没有回答。";
}

impl Texts {
    /// A sentence of the page.
    pub(crate) fn answered_by(self, upstream: &str) -> String {
        match self {
            Self::English => format!("It comes from {upstream}."),
            Self::Chinese => format!("它来自 {upstream}。"),
        }
    }

    /// A sentence of the page of upstreams.
    pub(crate) fn upstream_remaining(self, count: &str) -> String {
        match self {
            Self::English => format!("The registry still allows {count} pulls."),
            Self::Chinese => format!("该注册表还允许 {count} 次拉取。"),
        }
    }

    /// A sentence of the page of upstreams.
    pub(crate) fn upstream_retry_after(self, at: &str) -> String {
        match self {
            Self::English => format!("The registry wants no requests before {at}."),
            Self::Chinese => format!("该注册表要求 {at} 之前不要请求。"),
        }
    }

    /// A sentence of the page of upstreams.
    pub(crate) fn upstream_last_failure(self, at: &str) -> String {
        match self {
            Self::English => format!("A request failed at {at}."),
            Self::Chinese => format!("{at} 的一次请求失败。"),
        }
    }

    /// Returns the answer of an upstream, in English in the words of `berth explain`.
    pub(crate) fn upstream_outcome(self, outcome: &UpstreamOutcome) -> String {
        match self {
            Self::English => match outcome {
                UpstreamOutcome::Found(digest) => format!("has {digest}"),
                UpstreamOutcome::Denied(digest) => {
                    format!("has {digest}, and a rule denies the download")
                }
                UpstreamOutcome::NotFound => "does not have it".to_owned(),
                UpstreamOutcome::Failed(fault) => format!("cannot answer: {fault}"),
                UpstreamOutcome::NotAsked => "was not asked".to_owned(),
                UpstreamOutcome::PinnedAway => "is not asked for this image: a pin".to_owned(),
                UpstreamOutcome::ImageDenied(denial) => format!("does not serve it: {denial}"),
            },
            Self::Chinese => match outcome {
                UpstreamOutcome::Found(digest) => format!("有 {digest}"),
                UpstreamOutcome::Denied(digest) => format!("有 {digest}，但规则不允许下载"),
                UpstreamOutcome::NotFound => "没有".to_owned(),
                UpstreamOutcome::Failed(fault) => format!("无法回答：{}", chinese_fault(*fault)),
                UpstreamOutcome::NotAsked => "未询问".to_owned(),
                UpstreamOutcome::PinnedAway => "该镜像固定由另一个上游提供，因此未询问".to_owned(),
                UpstreamOutcome::ImageDenied(denial) => format!("不提供：{denial}"),
            },
        }
    }
}

/// Returns the sentence for the reason why an upstream cannot answer.
fn chinese_fault(fault: UpstreamFault) -> &'static str {
    match fault {
        UpstreamFault::Deleted => "其仓库已删除",
        UpstreamFault::Replaced => "其仓库已删除并重新创建；请重新设置上游",
        UpstreamFault::AddedUnchecked => "由旧版本添加，当时没有检查权限；请重新设置上游",
        UpstreamFault::Stopped => "其仓库的管理员已停止它",
        UpstreamFault::Circle => "其仓库经由其他仓库读取自身",
        UpstreamFault::TooMany => "经由其他仓库读取的仓库太多",
        UpstreamFault::Unanswered(kind) => match kind {
            UpstreamProblemKind::NotFound => "它读取的注册表没有此镜像",
            UpstreamProblemKind::Limited { .. } => "它读取的注册表限制了请求次数",
            UpstreamProblemKind::Failed => "它读取的注册表拒绝请求或出错",
            UpstreamProblemKind::Unreachable => "无法连接它读取的注册表，或其未及时回答",
            UpstreamProblemKind::Wrong => "它读取的注册表发来的内容不符",
            UpstreamProblemKind::NotStored => "目前无法为它存储内容",
            UpstreamProblemKind::Credentials => "无法使用访问它读取的注册表的凭据",
            UpstreamProblemKind::Offline => "它处于离线状态，且没有副本",
        },
    }
}
