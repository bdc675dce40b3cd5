//! The names of things, and of the pages about them: headings, columns and labels of several pages.

use model::repository::ModeName;

use super::Texts;

texts! {
    projects: "Projects", "项目";
    project: "Project", "项目";
    repositories: "Repositories", "仓库";
    repository: "Repository", "仓库";
    images: "Images", "镜像";
    image: "Image", "镜像";
    tags: "Tags", "标签 (tag)";
    tag: "Tag", "标签 (tag)";
    versions: "Versions", "版本";
    untagged: "Untagged", "无标签";
    history: "History", "历史";
    activity: "Activity", "活动";
    connect: "Connect", "连接";
    upstreams: "Upstreams", "上游";
    you: "You", "我";
    name: "Name", "名称";
    mode: "Mode", "模式";
    location: "Location", "位置";
    /// A column: the bytes that are stored.
    stored: "Stored", "已存储";
    size: "Size", "大小";
    created: "Created", "创建时间";
    updated: "Updated", "更新时间";
    pushed: "Pushed", "推送时间";
    last_push: "Last push", "最近推送";
    built: "Built", "构建时间";
    last_pull: "Last pull", "最近拉取";
    pulls: "Pulls in 30 days", "30 天内拉取";
    digest: "Digest", "摘要 (digest)";
    platforms: "Platforms", "平台";
    platform: "Platform", "平台";
    media_type: "Media type", "媒体类型";
    artifact_type: "Artifact type", "制品类型";
    /// A column: what is attached to a version.
    attached: "Attached", "附件";
    pull: "Pull", "拉取";
    push: "Push", "推送";
    time: "When", "时间";
    reason: "Why", "原因";
    kind: "What", "内容";
    actor: "Who", "操作者";
    way: "How", "方式";
    immutable_tags: "immutable tags", "标签不可变";
    signed: "signed", "已签名";
    sbom: "SBOM", "SBOM";
    provenance: "provenance", "来源证明";
    selected: "selected", "所选";
    image_kind: "image", "镜像";
    index_kind: "index", "索引";
    signature: "signature", "签名";
    helm_chart: "Helm chart", "Helm 图表";
}

impl Texts {
    /// Returns the word for the mode of a repository.
    pub(crate) fn mode_word(self, mode: ModeName) -> &'static str {
        match (mode, self) {
            (mode, Self::English) => mode.word(),
            (ModeName::Standard, Self::Chinese) => "标准",
            (ModeName::Remote, Self::Chinese) => "远程",
            (ModeName::Virtual, Self::Chinese) => "虚拟",
        }
    }
}
