//! The activity of a repository or an image.

use engine::EventAction;
use identity::ChangeWay;

use super::Texts;

texts! {
    by_day: "Pulls and pushes by day, the last 30 days", "最近 30 天每日的拉取与推送";
    day: "Day (UTC)", "日期 (UTC)";
    pull_count: "Pulls", "拉取";
    push_count: "Pushes", "推送";
    since: "From day", "起始日";
    until: "To day", "截止日";
    no_activity: "Nothing happened here yet.", "这里还没有发生任何事情。";
}

impl Texts {
    /// Returns the words for a kind of change. In English, they are those of the address and of the file.
    pub(crate) fn change(self, action: EventAction) -> &'static str {
        match (self, action) {
            (Self::English, action) => action.as_str(),
            (Self::Chinese, EventAction::Push) => "推送",
            (Self::Chinese, EventAction::Tag) => "设置标签",
            (Self::Chinese, EventAction::Untag) => "移除标签",
            (Self::Chinese, EventAction::Delete) => "删除版本",
            (Self::Chinese, EventAction::DeletePackage) => "删除镜像",
            (Self::Chinese, EventAction::Annotate) => "设置版本注解",
            (Self::Chinese, EventAction::AnnotatePackage) => "设置镜像注解",
            (Self::Chinese, EventAction::Create) => "创建仓库",
            (Self::Chinese, EventAction::Update) => "更改仓库",
            (Self::Chinese, EventAction::CreateRule) => "创建规则",
            (Self::Chinese, EventAction::UpdateRule) => "更改规则",
            (Self::Chinese, EventAction::DeleteRule) => "删除规则",
            // No page about a repository or an image shows another one.
            (Self::Chinese, action) => action.as_str(),
        }
    }

    /// Returns the word for the way of a change.
    pub(crate) fn change_way(self, way: ChangeWay) -> &'static str {
        match (way, self) {
            (ChangeWay::Unknown, _) => "—",
            (ChangeWay::Api, _) => "API",
            (ChangeWay::Push, Self::English) => "push",
            (ChangeWay::Push, Self::Chinese) => "推送",
            (ChangeWay::Console, Self::English) => "console",
            (ChangeWay::Console, Self::Chinese) => "控制台",
            (ChangeWay::Restore, Self::English) => "put back",
            (ChangeWay::Restore, Self::Chinese) => "恢复",
            (ChangeWay::Cleanup, Self::English) => "cleanup policy",
            (ChangeWay::Cleanup, Self::Chinese) => "清理策略",
            (ChangeWay::Eviction, Self::English) => "eviction",
            (ChangeWay::Eviction, Self::Chinese) => "缓存淘汰",
            (ChangeWay::Fetch, Self::English) => "fetch from upstream",
            (ChangeWay::Fetch, Self::Chinese) => "从上游获取",
            (ChangeWay::Operator, Self::English) => "operator",
            (ChangeWay::Operator, Self::Chinese) => "运维命令",
        }
    }
}
