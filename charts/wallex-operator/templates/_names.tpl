{{/* Name of every object: the release's, which holds the chart's name or gets it appended. */}}
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

{{/* Of the pod of `helm test`. Not the operator's: its Service would send to the pod. */}}
{{- define "wallex-operator.testSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-check
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels that select nothing: where an object comes from. */}}
{{- define "wallex-operator.origin" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: wallex
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What the operator may do in a namespace whose platforms it runs. One rule per purpose. */}}
{{- define "wallex-operator.rules" -}}
# The platforms themselves: to read what is asked for. `patch` sets and removes the finalizer that holds a platform until its topics are
# deleted, and nothing else (spec.kafka.topics.deletionPolicy: Delete).
- apiGroups: [wallex.dev]
  resources: [walletplatforms]
  verbs: [get, list, watch, patch]
# To report back. The operator never changes what was asked for.
- apiGroups: [wallex.dev]
  resources: [walletplatforms/status]
  verbs: [get, patch]
# Where API servers check it, making a platform the owner of its children takes this right.
- apiGroups: [wallex.dev]
  resources: [walletplatforms/finalizers]
  verbs: [update]
# Connection URLs: read to check that they are there and to notice that they changed. Never written.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
# Settings, identity and addresses of a platform's pods. ConfigMaps that a platform names by caConfigMapRef are read, never written.
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
# So that a node drain takes one pod of a component at a time.
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
# spec.projectors.*.autoscaling with KEDA, and how KEDA gets at the brokers: Secrets by reference. Harmless where a cluster does not
# have it.
- apiGroups: [keda.sh]
  resources: [scaledobjects, triggerauthentications]
  verbs: [get, list, watch, create, patch, delete]
# spec.monitoring.serviceMonitor: the Prometheus Operator's resource. Harmless where a cluster does not have it.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
# To say in the status why pods do not become ready and why a migration failed: what Kubernetes says of them, and their last lines.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# To say in the status why the migration's Job gets no pod, such as a quota: Kubernetes says so in Events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# To report transitions as Events.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
