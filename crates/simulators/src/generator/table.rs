//! The shapes of evidence, as data.
//! Source: msgraph-metadata, clean_v10_metadata (f54f11b, 2026-08-20).
//!
//! A property reads `name:type`, with `*` for a collection and `!` for never null. Types are `text`, `time`, `number`, `truth`,
//! `guid`, `real`, `open` (a free-form object), `enum.NAME`, and `part.NAME` (another shape). What all evidence has in common is
//! left out.

/// Name and properties of each kind of evidence.
pub(super) const EVIDENCE: [(&str, &str); 48] = [
    (
        "activeDirectoryDomainEvidence",
        "activeDirectoryDomainName:text trustedDomains:part.activeDirectoryDomainEvidence*!",
    ),
    (
        "aiAgentEvidence",
        "agentId:text agentName:text hostingPlatformType:enum.aiAgentPlatform instructions:text",
    ),
    (
        "amazonResourceEvidence",
        "amazonAccountId:text amazonResourceId:text resourceName:text resourceType:text",
    ),
    (
        "analyzedMessageEvidence",
        "antiSpamDirection:text attachmentsCount:number deliveryAction:text deliveryLocation:text \
         internetMessageId:text language:text networkMessageId:text p1Sender:part.emailSender \
         p2Sender:part.emailSender receivedDateTime:time recipientEmailAddress:text senderIp:text subject:text \
         threatDetectionMethods:text* threats:text* urlCount:number urls:text* urn:text",
    ),
    (
        "azureResourceEvidence",
        "resourceId:text resourceName:text resourceType:text",
    ),
    (
        "blobContainerEvidence",
        "name:text storageResource:part.azureResourceEvidence url:text",
    ),
    (
        "blobEvidence",
        "blobContainer:part.blobContainerEvidence etag:text fileHashes:part.fileHash* name:text url:text",
    ),
    (
        "cloudApplicationEvidence",
        "appId:number displayName:text instanceId:number instanceName:text saasAppId:number stream:part.stream",
    ),
    ("cloudLogonRequestEvidence", "requestId:text"),
    (
        "cloudLogonSessionEvidence",
        "account:part.userEvidence browser:text deviceName:text operatingSystem:text previousLogonDateTime:time \
         protocol:text sessionId:text startUtcDateTime:time userAgent:text",
    ),
    (
        "containerEvidence",
        "args:text* command:text* containerId:text image:part.containerImageEvidence isPrivileged:truth! name:text \
         pod:part.kubernetesPodEvidence",
    ),
    (
        "containerImageEvidence",
        "digestImage:part.containerImageEvidence imageId:text registry:part.containerRegistryEvidence",
    ),
    ("containerRegistryEvidence", "registry:text"),
    (
        "deviceEvidence",
        "azureAdDeviceId:text defenderAvStatus:enum.defenderAvStatus deviceDnsName:text dnsDomain:text \
         firstSeenDateTime:time healthStatus:enum.deviceHealthStatus hostName:text ipInterfaces:text* \
         lastExternalIpAddress:text lastIpAddress:text loggedOnUsers:part.loggedOnUser* mdeDeviceId:text \
         ntDomain:text onboardingStatus:enum.onboardingStatus osBuild:number osPlatform:text rbacGroupId:number \
         rbacGroupName:text resourceAccessEvents:part.resourceAccessEvent* riskScore:enum.deviceRiskScore \
         version:text vmMetadata:part.vmMetadata",
    ),
    (
        "dnsEvidence",
        "dnsServerIp:part.ipEvidence domainName:text hostIpAddress:part.ipEvidence ipAddresses:part.ipEvidence*",
    ),
    (
        "fileEvidence",
        "detectionStatus:enum.detectionStatus fileDetails:part.fileDetails mdeDeviceId:text",
    ),
    (
        "fileHashEvidence",
        "algorithm:enum.fileHashAlgorithm! value:text",
    ),
    (
        "gitHubOrganizationEvidence",
        "company:text displayName:text email:text login:text orgId:text webUrl:text",
    ),
    (
        "gitHubRepoEvidence",
        "baseUrl:text login:text owner:text ownerType:text repoId:text",
    ),
    (
        "gitHubUserEvidence",
        "email:text login:text name:text userId:text webUrl:text",
    ),
    (
        "googleCloudResourceEvidence",
        "fullResourceName:text location:text locationType:enum.googleCloudLocationType projectId:text \
         projectNumber:number resourceName:text resourceType:text",
    ),
    (
        "hostLogonSessionEvidence",
        "account:part.userEvidence endUtcDateTime:time host:part.deviceEvidence sessionId:text \
         startUtcDateTime:time",
    ),
    (
        "ioTDeviceEvidence",
        "deviceId:text deviceName:text devicePageLink:text deviceSubType:text deviceType:text \
         importance:enum.ioTDeviceImportanceType ioTHub:part.azureResourceEvidence ioTSecurityAgentId:text \
         ipAddress:part.ipEvidence isAuthorized:truth isProgramming:truth isScanner:truth macAddress:text \
         manufacturer:text model:text nics:part.nicEvidence* operatingSystem:text owners:text* protocols:text* \
         purdueLayer:text sensor:text serialNumber:text site:text source:text sourceRef:part.urlEvidence zone:text",
    ),
    (
        "ipEvidence",
        "countryLetterCode:text ipAddress:text location:part.geoLocation stream:part.stream",
    ),
    (
        "kubernetesClusterEvidence",
        "cloudResource:part.alertEvidence distribution:text name:text platform:enum.kubernetesPlatform \
         version:text",
    ),
    (
        "kubernetesControllerEvidence",
        "labels:open name:text namespace:part.kubernetesNamespaceEvidence type:text",
    ),
    (
        "kubernetesNamespaceEvidence",
        "cluster:part.kubernetesClusterEvidence labels:open name:text",
    ),
    (
        "kubernetesPodEvidence",
        "containers:part.containerEvidence* controller:part.kubernetesControllerEvidence \
         ephemeralContainers:part.containerEvidence* initContainers:part.containerEvidence* labels:open name:text \
         namespace:part.kubernetesNamespaceEvidence podIp:part.ipEvidence \
         serviceAccount:part.kubernetesServiceAccountEvidence",
    ),
    (
        "kubernetesSecretEvidence",
        "name:text namespace:part.kubernetesNamespaceEvidence secretType:text",
    ),
    (
        "kubernetesServiceAccountEvidence",
        "name:text namespace:part.kubernetesNamespaceEvidence",
    ),
    (
        "kubernetesServiceEvidence",
        "clusterIP:part.ipEvidence externalIPs:part.ipEvidence* labels:open name:text \
         namespace:part.kubernetesNamespaceEvidence selector:open servicePorts:part.kubernetesServicePort* \
         serviceType:enum.kubernetesServiceType!",
    ),
    (
        "mailClusterEvidence",
        "clusterBy:text clusterByValue:text emailCount:number networkMessageIds:text* query:text urn:text",
    ),
    (
        "mailboxConfigurationEvidence",
        "configurationId:text configurationType:enum.mailboxConfigurationType displayName:text \
         externalDirectoryObjectId:guid mailboxPrimaryAddress:text upn:text",
    ),
    (
        "mailboxEvidence",
        "displayName:text primaryAddress:text upn:text userAccount:part.userAccount",
    ),
    (
        "malwareEvidence",
        "category:text files:part.fileEvidence* name:text processes:part.processEvidence*",
    ),
    (
        "networkConnectionEvidence",
        "destinationAddress:part.ipEvidence destinationPort:number protocol:enum.protocolType \
         sourceAddress:part.ipEvidence sourcePort:number",
    ),
    (
        "nicEvidence",
        "ipAddress:part.ipEvidence macAddress:text vlans:text*",
    ),
    (
        "oauthApplicationEvidence",
        "appId:text displayName:text objectId:text publisher:text",
    ),
    (
        "processEvidence",
        "detectionStatus:enum.detectionStatus imageFile:part.fileDetails mdeDeviceId:text \
         parentProcessCreationDateTime:time parentProcessId:number parentProcessImageFile:part.fileDetails \
         processCommandLine:text processCreationDateTime:time processId:number userAccount:part.userAccount",
    ),
    ("registryKeyEvidence", "registryHive:text registryKey:text"),
    (
        "registryValueEvidence",
        "mdeDeviceId:text registryHive:text registryKey:text registryValue:text registryValueName:text \
         registryValueType:text",
    ),
    (
        "sasTokenEvidence",
        "allowedIpAddresses:text allowedResourceTypes:text* allowedServices:text* expiryDateTime:time \
         permissions:text* protocol:text signatureHash:text signedWith:text startDateTime:time \
         storageResource:part.azureResourceEvidence",
    ),
    (
        "securityGroupEvidence",
        "activeDirectoryObjectGuid:guid displayName:text distinguishedName:text friendlyName:text \
         securityGroupId:text sid:text",
    ),
    (
        "servicePrincipalEvidence",
        "appId:text appOwnerTenantId:text servicePrincipalName:text servicePrincipalObjectId:text \
         servicePrincipalType:enum.servicePrincipalType tenantId:text",
    ),
    (
        "submissionMailEvidence",
        "networkMessageId:text recipient:text reportType:text sender:text senderIp:text subject:text \
         submissionDateTime:time submissionId:text submitter:text",
    ),
    (
        "teamsMessageEvidence",
        "campaignId:text channelId:text deliveryAction:enum.teamsMessageDeliveryAction \
         deliveryLocation:enum.teamsDeliveryLocation files:part.fileEvidence* groupId:text isExternal:truth \
         isOwned:truth lastModifiedDateTime:time messageDirection:enum.antispamTeamsDirection messageId:text \
         owningTenantId:guid parentMessageId:text receivedDateTime:time recipients:text* senderFromAddress:text \
         senderIP:text sourceAppName:text sourceId:text subject:text suspiciousRecipients:text* threadId:text \
         threadType:text urls:part.urlEvidence*",
    ),
    ("urlEvidence", "url:text"),
    (
        "userEvidence",
        "stream:part.stream userAccount:part.userAccount",
    ),
];

/// Name and properties of the objects inside evidence.
pub(super) const PARTS: [(&str, &str); 10] = [
    (
        "emailSender",
        "displayName:text domainName:text emailAddress:text",
    ),
    (
        "fileDetails",
        "fileName:text filePath:text filePublisher:text fileSize:number issuer:text md5:text sha1:text sha256:text \
         sha256Ac:text signer:text",
    ),
    ("fileHash", "algorithm:enum.fileHashAlgorithm! value:text"),
    (
        "geoLocation",
        "city:text countryName:text latitude:real longitude:real state:text",
    ),
    (
        "kubernetesServicePort",
        "appProtocol:text name:text nodePort:number! port:number! protocol:enum.containerPortProtocol \
         targetPort:text",
    ),
    ("loggedOnUser", "accountName:text domainName:text"),
    (
        "resourceAccessEvent",
        "accessDateTime:time accountId:text ipAddress:text resourceIdentifier:text",
    ),
    ("stream", "name:text"),
    (
        "userAccount",
        "accountName:text activeDirectoryObjectGuid:guid azureAdUserId:text displayName:text domainName:text \
         resourceAccessEvents:part.resourceAccessEvent* tenantId:text userPrincipalName:text userSid:text",
    ),
    (
        "vmMetadata",
        "cloudProvider:enum.vmCloudProvider! resourceId:text subscriptionId:text vmId:text",
    ),
];
