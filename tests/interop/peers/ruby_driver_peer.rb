# A peer made of websocket-driver (Debian: ruby-websocket-driver): commands come in on stdin, events go out on stdout, a
# JSON line each. peer.py in the folder above lists them; this one knows no TLS, no fragments, and no pings it gets.

require 'digest'
require 'json'
require 'socket'
require 'websocket/driver'

STDOUT.sync = true

def emit(event, details)
  STDOUT.write(JSON.generate({ :event => event }.merge(details)) + "\n")
end

class Endpoint
  attr_reader :url

  def initialize(socket, url, echo)
    @socket = socket
    @url = url
    @echo = echo
    @lock = Mutex.new
    @open = true
  end

  def client(protocols, headers)
    @driver = WebSocket::Driver.client(self, :protocols => protocols)
    headers.each { |name, value| @driver.set_header(name, value) }
    watch { { :protocol => @driver.protocol, :headers => {} } }
    @driver.start
    self
  end

  def server(protocols, headers)
    @driver = WebSocket::Driver.server(self, :protocols => protocols)
    @driver.on(:connect) do
      headers.each { |name, value| @driver.set_header(name, value) }
      @driver.start
    end
    watch { { :protocol => @driver.protocol, :headers => fields(@driver.env) } }
    self
  end

  def write(data)
    @socket.write(data)
  end

  def read
    while @open
      data = @socket.readpartial(65_536)
      @lock.synchronize { @driver.parse(data) }
    end
  rescue SystemCallError, IOError => error
    emit('close', :code => 1006, :reason => error.class.name) if @open
  ensure
    @socket.close
  end

  def send(kind, data)
    @lock.synchronize { kind == 'text' ? @driver.text(data) : @driver.binary(data.codepoints) }
  end

  def ping(data)
    @lock.synchronize { @driver.ping(data) { emit('pong', :data => data) } }
  end

  def close(code, reason)
    @lock.synchronize { @driver.close(reason, code) }
  end

  private

  def fields(env)
    env.select { |name, _| name.start_with?('HTTP_') }.to_h { |name, value| [name[5..].downcase.tr('_', '-'), value] }
  end

  def watch
    @driver.on(:open) { emit('open', yield) }
    @driver.on(:message) do |event|
      data = event.data.is_a?(Array) ? event.data.pack('C*') : event.data
      emit('message', :binary => event.data.is_a?(Array), :size => data.bytesize, :sha256 => Digest::SHA256.hexdigest(data))
      event.data.is_a?(Array) ? @driver.binary(event.data) : @driver.text(event.data) if @echo
    end
    @driver.on(:error) { |error| warn error.message }
    @driver.on(:close) do |event|
      @open = false
      emit('close', :code => event.code, :reason => event.reason)
    end
  end
end

endpoint = nil
STDIN.each_line do |line|
  command = JSON.parse(line)
  case command['do']
  when 'connect'
    host, port = command['url'][%r{//([^/]+)}, 1].split(':')
    endpoint = Endpoint.new(TCPSocket.new(host, port), command['url'], command['echo'])
    endpoint.client(command['protocols'], command['headers'])
    Thread.new(endpoint, &:read)
  when 'listen'
    server = TCPServer.new('127.0.0.1', 0)
    emit('listening', :port => server.addr[1])
    Thread.new do
      loop do
        endpoint = Endpoint.new(server.accept, nil, command['echo']).server(command['protocols'], command['headers'])
        Thread.new(endpoint, &:read)
      end
    end
  when 'send' then endpoint.send(command['kind'], command['data'])
  when 'ping' then endpoint.ping(command['data'])
  when 'close' then endpoint.close(command['code'], command['reason'])
  end
end
