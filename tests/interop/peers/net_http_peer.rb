# A peer made of Ruby's net/http, which reads an event stream line by line: commands come in on stdin, events go out on
# stdout, a JSON line each: `connect`; `open`, `line` and `end`.

require 'json'
require 'net/http'
require 'uri'

STDOUT.sync = true

def emit(event, details = {})
  STDOUT.write(JSON.generate({ :event => event }.merge(details)) + "\n")
end

def connect(command)
  url = URI(command['url'])
  proxy = command['proxy'] ? URI(command['proxy']) : URI::Generic.build({})
  http = Net::HTTP.new(url.host, url.port, proxy.host, proxy.port, proxy.user, proxy.password)
  http.use_ssl = url.scheme == 'https'
  http.ca_file = command['ca']
  http.start do
    http.request(Net::HTTP::Get.new(url, { 'Accept' => 'text/event-stream' }.merge(command['headers']))) do |response|
      emit('open', :status => response.code.to_i, :headers => response.each_header.to_h)
      rest = String.new
      response.read_body do |data|
        rest << data
        while line = rest.slice!(/\A.*\n/)
          emit('line', :text => line.force_encoding('utf-8'))
        end
      end
    end
  end
  emit('end')
end

STDIN.each_line { |line| connect(JSON.parse(line)) }
