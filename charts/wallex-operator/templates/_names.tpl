{{/* Name of every object: the release's name, with the chart's name appended unless it contains it. */}}
{{- define "wallex-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "wallex-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "wallex-operator.name" .) -}}
{{- end -}}

{{- define "wallex-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "wallex-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "wallex-operator.labels" -}}
{{ include "wallex-operator.selector" . }}
{{ include "wallex-operator.origin" . }}
{{- end -}}

{{/* For the pod of `helm test`. Not the operator's selector: its Service would send requests to this pod. */}}
{{- define "wallex-operator.testSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-check
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels that nothing selects by: where an object comes from. */}}
{{- define "wallex-operator.origin" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: wallex
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What the operator may do in a namespace whose platforms it manages. One rule per purpose. */}}
{{- define "wallex-operator.rules" -}}
# The platforms themselves: to read the spec. `patch` only sets and removes the finalizer that keeps a platform until its topics are
# deleted (spec.kafka.topics.deletionPolicy: Delete).
- apiGroups: [wallex.dev]
  resources: [walletplatforms]
  verbs: [get, list, watch, patch]
# To report the status. The operator never changes the spec.
- apiGroups: [wallex.dev]
  resources: [walletplatforms/status]
  verbs: [get, patch]
# Some API servers require this right for making a platform the owner of its children.
- apiGroups: [wallex.dev]
  resources: [walletplatforms/finalizers]
  verbs: [update]
# Connection URLs, credentials and certificates: read to check that they exist and to notice changes. Never written.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
# Settings, identity and addresses of a platform's pods. ConfigMaps that a platform names in caConfigMapRef are read, never written.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
# The components.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# The migration and the maintenance.
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [get, list, watch, create, patch, delete]
# So that a node drain evicts one pod of a component at a time.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# spec.networkPolicy: who may talk to a platform's pods and to whom they talk.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# spec.*.autoscaling by CPU, and by lag where KEDA does not do it.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
# spec.projectors.*.autoscaling with KEDA; TriggerAuthentications, to remove those of earlier releases. Harmless without KEDA.
- apiGroups: [keda.sh]
  resources: [scaledobjects, triggerauthentications]
  verbs: [get, list, watch, create, patch, delete]
# spec.monitoring.serviceMonitor: the Prometheus Operator's resource. Harmless if the cluster does not have it.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
# To say in the status why pods do not become ready or why a migration failed: their state, with their termination messages.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
# To say in the status why the migration's Job gets no pod, for example because of a quota: Kubernetes reports that only in Events.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# To report transitions as Events.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
