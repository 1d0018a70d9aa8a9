// A stand-in for Google's Terraform providers: their schemas, and resources that are only remembered. What the provider
// sets is unknown in a plan and made up when it is applied, so that a second plan shows whether the first one held.
//
// It is google or google-beta by the name of its file, terraform-provider-NAME_vVERSION.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schemas.json
var schemas []byte

type attribute struct {
	Type                         json.RawMessage
	Required, Optional, Computed bool
	Values                       []string
}

type nested struct {
	Nesting  string
	Min, Max int64
	Block    block
}

type block struct {
	Attributes map[string]attribute
	Blocks     map[string]nested
}

type release struct {
	Version string
	Schemas map[string]block
}

// What all of Google's providers can be configured with, as far as anybody here does.
var configuration = block{Attributes: map[string]attribute{
	"project":                     {Type: json.RawMessage(`"string"`), Optional: true},
	"region":                      {Type: json.RawMessage(`"string"`), Optional: true},
	"impersonate_service_account": {Type: json.RawMessage(`"string"`), Optional: true},
}}

func (b block) schema() *tfprotov5.SchemaBlock {
	made := &tfprotov5.SchemaBlock{}
	for name, each := range b.Attributes {
		kind, err := tftypes.ParseJSONType(each.Type) //nolint:staticcheck // there is no other reader of such types
		if err != nil {
			panic(fmt.Sprintf("%s: %v", name, err))
		}
		made.Attributes = append(made.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: kind, Required: each.Required, Optional: each.Optional, Computed: each.Computed,
		})
	}
	nestings := map[string]tfprotov5.SchemaNestedBlockNestingMode{
		"list":   tfprotov5.SchemaNestedBlockNestingModeList,
		"set":    tfprotov5.SchemaNestedBlockNestingModeSet,
		"single": tfprotov5.SchemaNestedBlockNestingModeSingle,
	}
	for name, each := range b.Blocks {
		made.BlockTypes = append(made.BlockTypes, &tfprotov5.SchemaNestedBlock{
			TypeName: name, Block: each.Block.schema(), Nesting: nestings[each.Nesting], MinItems: each.Min, MaxItems: each.Max,
		})
	}
	return made
}

// problems are the values outside of their enumerations, as of a resource's whole configuration.
func (b block) problems(value tftypes.Value, path *tftypes.AttributePath) (found []*tfprotov5.Diagnostic) {
	if value.IsNull() || !value.IsKnown() {
		return nil
	}
	var fields map[string]tftypes.Value
	if err := value.As(&fields); err != nil {
		panic(err)
	}
	for name, each := range b.Attributes {
		field, at := fields[name], path.WithAttributeName(name)
		var text string
		if len(each.Values) == 0 || field.IsNull() || !field.IsKnown() || field.As(&text) != nil {
			continue
		}
		if !slices.Contains(each.Values, text) {
			found = append(found, &tfprotov5.Diagnostic{
				Severity:  tfprotov5.DiagnosticSeverityError,
				Summary:   fmt.Sprintf("expected %s to be one of %q, got %s", name, each.Values, text),
				Attribute: at,
			})
		}
	}
	for name, each := range b.Blocks {
		field := fields[name]
		var items []tftypes.Value
		if each.Nesting == "single" {
			items = []tftypes.Value{field}
		} else if field.IsNull() || !field.IsKnown() || field.As(&items) != nil {
			continue
		}
		for number, item := range items {
			found = append(found, each.Block.problems(item, path.WithAttributeName(name).WithElementKeyInt(number))...)
		}
	}
	return found
}

// filled is a resource with something in place of each attribute that the provider sets and nobody has set.
func (b block) filled(value tftypes.Value, with func(name string, kind tftypes.Type) tftypes.Value) tftypes.Value {
	var fields map[string]tftypes.Value
	if err := value.As(&fields); err != nil {
		panic(err)
	}
	for name, each := range b.Attributes {
		if each.Computed && (fields[name].IsNull() || !fields[name].IsKnown()) {
			fields[name] = with(name, fields[name].Type())
		}
	}
	return tftypes.NewValue(value.Type(), fields)
}

func unknown(_ string, kind tftypes.Type) tftypes.Value {
	return tftypes.NewValue(kind, tftypes.UnknownValue)
}

// invented gives what a resource of a type might have: texts that say what they are, an account's address as Google makes it.
func invented(resource string, value tftypes.Value) func(string, tftypes.Type) tftypes.Value {
	var fields map[string]tftypes.Value
	if err := value.As(&fields); err != nil {
		panic(err)
	}
	given := func(name string) (text string) {
		if field, ok := fields[name]; ok && field.IsKnown() && !field.IsNull() {
			_ = field.As(&text)
		}
		return text
	}
	return func(name string, kind tftypes.Type) tftypes.Value {
		switch {
		case kind.Is(tftypes.Number):
			return tftypes.NewValue(kind, 1)
		case kind.Is(tftypes.Bool):
			return tftypes.NewValue(kind, false)
		case kind.Is(tftypes.Map{}):
			return tftypes.NewValue(kind, map[string]tftypes.Value{})
		case !kind.Is(tftypes.String):
			return tftypes.NewValue(kind, []tftypes.Value{})
		}
		text := fmt.Sprintf("%s-%s", strings.ReplaceAll(resource, "_", "-"), name)
		email := fmt.Sprintf("%s@%s.iam.gserviceaccount.com", given("account_id"), given("project"))
		switch {
		case resource == "google_service_account" && name == "email":
			text = email
		case resource == "google_service_account" && name == "member":
			text = "serviceAccount:" + email
		case resource == "google_service_account" && (name == "name" || name == "id"):
			text = fmt.Sprintf("projects/%s/serviceAccounts/%s", given("project"), email)
		case resource == "google_pubsub_subscription" && name == "id":
			text = fmt.Sprintf("projects/%s/subscriptions/%s", given("project"), given("name"))
		case name == "number":
			text = "123456789012"
		}
		return tftypes.NewValue(kind, text)
	}
}

type provider struct {
	tfprotov5.ProviderServer // nil: what is not below is not asked for
	schemas                  map[string]block
}

func (p provider) of(resource string) (block, tftypes.Type) {
	found := p.schemas[resource]
	return found, found.schema().ValueType()
}

func (p provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (p provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	made := &tfprotov5.GetProviderSchemaResponse{
		Provider:          &tfprotov5.Schema{Block: configuration.schema()},
		ResourceSchemas:   map[string]*tfprotov5.Schema{},
		DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for name, each := range p.schemas {
		if plain, isData := strings.CutPrefix(name, "data_"); isData {
			made.DataSourceSchemas[plain] = &tfprotov5.Schema{Block: each.schema()}
		} else {
			made.ResourceSchemas[name] = &tfprotov5.Schema{Block: each.schema()}
		}
	}
	return made, nil
}

func (p provider) PrepareProviderConfig(_ context.Context, request *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (p provider) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p provider) ValidateResourceTypeConfig(_ context.Context, request *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	found, kind := p.of(request.TypeName)
	config, err := request.Config.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: found.problems(config, tftypes.NewAttributePath())}, nil
}

func (p provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (p provider) UpgradeResourceState(_ context.Context, request *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	_, kind := p.of(request.TypeName)
	state, err := request.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	upgraded, err := tfprotov5.NewDynamicValue(kind, state)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &upgraded}, err
}

func (p provider) ReadResource(_ context.Context, request *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: request.CurrentState}, nil
}

func (p provider) PlanResourceChange(_ context.Context, request *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	found, kind := p.of(request.TypeName)
	proposed, err := request.ProposedNewState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	if proposed.IsNull() {
		return &tfprotov5.PlanResourceChangeResponse{PlannedState: request.ProposedNewState}, nil
	}
	planned, err := tfprotov5.NewDynamicValue(kind, found.filled(proposed, unknown))
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: &planned}, err
}

func (p provider) ApplyResourceChange(_ context.Context, request *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	found, kind := p.of(request.TypeName)
	planned, err := request.PlannedState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	if planned.IsNull() {
		return &tfprotov5.ApplyResourceChangeResponse{NewState: request.PlannedState}, nil
	}
	state, err := tfprotov5.NewDynamicValue(kind, found.filled(planned, invented(request.TypeName, planned)))
	return &tfprotov5.ApplyResourceChangeResponse{NewState: &state}, err
}

func (p provider) ReadDataSource(_ context.Context, request *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	found, kind := p.of("data_" + request.TypeName)
	config, err := request.Config.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	state, err := tfprotov5.NewDynamicValue(kind, found.filled(config, invented(request.TypeName, config)))
	return &tfprotov5.ReadDataSourceResponse{State: &state}, err
}

func main() {
	var releases map[string]release
	if err := json.Unmarshal(schemas, &releases); err != nil {
		panic(err)
	}
	name := strings.TrimPrefix(strings.Split(filepath.Base(os.Args[0]), "_v")[0], "terraform-provider-")
	address := "registry.terraform.io/hashicorp/" + name
	if err := tf5server.Serve(address, func() tfprotov5.ProviderServer { return provider{schemas: releases[name].Schemas} }); err != nil {
		panic(err)
	}
}
