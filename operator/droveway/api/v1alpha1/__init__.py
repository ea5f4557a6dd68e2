"""Version v1alpha1 of the custom resources, as pydantic models."""

from droveway.api.v1alpha1.agent import Agent, AgentSpec
from droveway.api.v1alpha1.agentrun import AgentRun, AgentRunSpec, AgentRunStatus, Attempt, Usage
from droveway.api.v1alpha1.modelprovider import LimitStatus, ModelProvider, ModelProviderSpec, ModelProviderStatus
from droveway.api.v1alpha1.modelroute import Candidate, CandidateStatus, ModelRoute, ModelRouteSpec, ModelRouteStatus
from droveway.api.v1alpha1.tenantquota import TenantQuota, TenantQuotaSpec, TenantQuotaStatus

KINDS = (Agent, AgentRun, ModelProvider, ModelRoute, TenantQuota)

__all__ = [
    "KINDS",
    "Agent",
    "AgentRun",
    "AgentRunSpec",
    "AgentRunStatus",
    "AgentSpec",
    "Attempt",
    "Candidate",
    "CandidateStatus",
    "LimitStatus",
    "ModelProvider",
    "ModelProviderSpec",
    "ModelProviderStatus",
    "ModelRoute",
    "ModelRouteSpec",
    "ModelRouteStatus",
    "TenantQuota",
    "TenantQuotaSpec",
    "TenantQuotaStatus",
    "Usage",
]
