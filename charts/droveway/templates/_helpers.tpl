{{- define "droveway.labels" -}}
app.kubernetes.io/name: droveway
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "droveway.selector" -}}
app.kubernetes.io/name: droveway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "droveway.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "droveway.masterKeySecret" -}}
{{ .Values.masterKeySecret | default "droveway-master-key" }}
{{- end }}

{{- define "droveway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "droveway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Traces: OpenTelemetry's own variables. */}}
{{- define "droveway.tracing" -}}
{{- with .Values.telemetry.otel }}
{{- if .enabled -}}
- {name: OTEL_ENABLED, value: "1"}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ divf .samplePercent 100 | quote }}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME)"}
{{- end }}
{{- end }}
{{- end }}

{{- define "droveway.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the operator may do where runs live. */}}
{{- define "droveway.operatorRules" -}}
# Our own resources: read everything, write status, remove runs whose time to live is over.
- apiGroups: [droveway.dev]
  resources: [agents, agentruns, modelproviders, modelroutes, tenantquotas]
  verbs: [get, list, watch]
- apiGroups: [droveway.dev]
  resources: [agentruns/status, modelproviders/status, modelroutes/status, tenantquotas/status]
  verbs: [patch]
- apiGroups: [droveway.dev]
  resources: [agentruns]
  verbs: [delete]
# The pods of attempts, and the claims of workspaces.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [create]
# Which keys a credential has; never listed or watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
# The Secret from which a namespace's run keys are derived.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [droveway-run-keys]
  verbs: [update, delete]
# Telemetry of a route; prompts kept in ConfigMaps.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "droveway.gatewayRules" -}}
- apiGroups: [droveway.dev]
  resources: [agentruns, modelproviders, modelroutes, tenantquotas]
  verbs: [get, list, watch]
# Provider keys; never listed or watched.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
