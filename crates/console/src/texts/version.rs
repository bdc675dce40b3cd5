//! The page of a version.

use super::Texts;

/// A setting of an image, whose name depends on the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettingName {
    Platform,
    Author,
    Entrypoint,
    Command,
    User,
    WorkingFolder,
    Ports,
    Volumes,
    StopSignal,
}

texts! {
    /// The label of the digest of a version.
    image_digest: "Image digest", "映像摘要";
    /// A label: the bytes that nothing else needs.
    only_here: "Only here", "仅此处";
    /// A remark about sizes.
    compressed: "Sizes are of what is stored, which is compressed.", "大小为存储的压缩大小。";
    /// A remark about the size of an index.
    shared_once: "shared layers count once", "共享层只计一次";
    layers: "Layers", "层";
    /// A sentence of the page of an index.
    no_layers: "An index has no layers of its own: each platform has.", "索引本身没有层，每个平台各有自己的层。";
    step: "Step", "步骤";
    /// A sentence of the history of a step without a layer.
    empty_layer: "no layer", "无层";
    configuration: "Configuration", "配置";
    entrypoint: "Entrypoint", "入口点";
    command: "Command", "命令";
    user: "User", "用户";
    working_folder: "Working directory", "工作目录";
    ports: "Ports", "端口";
    volumes: "Volumes", "卷";
    stop_signal: "Stop signal", "停止信号";
    author: "Author", "作者";
    environment: "Environment", "环境变量";
    /// A sentence of the list of variables.
    secrets_warning:
        "Some values look like secrets. Everybody who may pull this image can read them.",
        "有些值看起来像密钥。任何可以拉取此镜像的人都能读取它们。";
    labels: "Labels", "标记";
    annotations: "Annotations", "注解";
    attachments: "Attachments", "附件";
    no_attachments: "Nothing is attached. Sign it:", "没有附件。可以签名：";
    /// A heading: what names this version.
    used_by: "Used by", "被引用";
    /// A heading: the version that this one is attached to.
    refers_to: "Attached to", "附属于";
    /// A remark about a version that an index names.
    part_of: "part of", "属于";
    attached_to: "attached to", "附属于";
    /// The platform that an attestation is about.
    attestation_for: "attestation for", "证明，对应";
    raw: "Manifest and config as stored", "存储的清单与配置";
    manifest: "Manifest", "清单";
    config: "Config", "配置";
    download: "Download", "下载";
    /// A label: the name by which tools know a version.
    reference: "Reference", "引用";
    /// A sentence of the page of content that a rule holds back.
    rule_denies: "A rule of this repository does not let its content be downloaded.", "此仓库的规则不允许下载其内容。";
    may_not_download:
        "You may see that this version is here, but not its content. It needs artifactregistry.repositories.downloadArtifacts.",
        "您可以看到此版本，但不能查看其内容。需要 artifactregistry.repositories.downloadArtifacts。";
}

impl Texts {
    /// Returns the name of a setting of an image.
    pub(crate) fn setting(self, name: &SettingName) -> &'static str {
        match name {
            SettingName::Platform => self.platform(),
            SettingName::Author => self.author(),
            SettingName::Entrypoint => self.entrypoint(),
            SettingName::Command => self.command(),
            SettingName::User => self.user(),
            SettingName::WorkingFolder => self.working_folder(),
            SettingName::Ports => self.ports(),
            SettingName::Volumes => self.volumes(),
            SettingName::StopSignal => self.stop_signal(),
        }
    }
}
